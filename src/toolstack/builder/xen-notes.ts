/** The Xen notes of a kernel: what it wants from the domain builder, and whether this Xen can give it. */
import { ELFNOTE_OWNER, elfnotes, type ElfnoteName } from '../../abi/elfnote.ts';
import { signedOf } from '../../abi/numbers.ts';
import { SHT_NOTE } from '../../abi/elf.ts';
import { libelf, hex, type BuildLog } from './build-log.ts';
import { elfSections, ElfError, parseNotes, type ElfFile, type ElfNote } from './elf-file.ts';

/** Values by name, as far as the kernel has them. Addresses are signed numbers. */
export interface XenNotes {
  readonly numbers: ReadonlyMap<ElfnoteName, number>;
  readonly strings: ReadonlyMap<ElfnoteName, string>;
  /** Names that the FEATURES note marks with `!`: the guest does not start without them. */
  readonly requiredFeatures: readonly string[];
}

/** Features whose requirement cannot be met: the guest would have to be something other than a PV domU. */
const UNAVAILABLE_FEATURES: readonly string[] = ['auto_translated_physmap', 'dom0'];
const LEGACY_SECTION = '__xen_guest';
const XEN_ABI = 'xen-3.0';

/** Reads the notes, from the PT_NOTE segments, or from sections where those have none; throws ElfError when there are none. */
export function readXenNotes(elf: ElfFile, log: BuildLog): XenNotes {
  const fromSegments = elf.noteSegments.flatMap(parseNotes).filter(isXens);
  const notes = fromSegments.length > 0 ? fromSegments : notesOfSections(elf);
  if (notes.length === 0) {
    const text = "Not a Xen-ELF image: No ELF notes or '__xen_guest' section found";
    throw new ElfError(text, 'a Linux kernel has them when it was built with CONFIG_XEN_PV');
  }

  const numbers = new Map<ElfnoteName, number>();
  const strings = new Map<ElfnoteName, string>();
  for (const note of notes) {
    const entry = nameOf(note.type);
    if (entry === undefined) {
      libelf(log, `ELF: note: unknown (${hex(note.type)})`);
      continue;
    }
    if (entry.kind === 'string') {
      const value = stringOf(note.desc);
      strings.set(entry.name, value);
      libelf(log, `ELF: note: ${entry.name} = "${value}"`);
    } else {
      const value = numberOf(note.desc);
      if (value === undefined) throw new ElfError(`the note ${entry.name} has ${note.desc.length} bytes, not 4 or 8`);
      numbers.set(entry.name, value);
      libelf(log, `ELF: note: ${entry.name} = ${value === 0 ? '0' : hex(value)}`);
    }
  }
  const features = (strings.get('FEATURES') ?? '').split('|');
  const requiredFeatures = features.filter((name) => name.startsWith('!')).map((name) => name.slice(1));
  return { numbers, strings, requiredFeatures };
}

/** The first reason why this Xen cannot start the kernel; `undefined` when it can. */
export function unmetRequirement(notes: XenNotes): string | undefined {
  const version = notes.strings.get('XEN_VERSION');
  if (version === undefined || !version.includes(XEN_ABI)) {
    return `ERROR: Xen will only load images built for Xen v3.0, this one is for "${version ?? ''}"`;
  }
  const loader = notes.strings.get('LOADER');
  if (loader !== undefined && !loader.startsWith('generic')) {
    return `ERROR: Will only load images built for the generic loader, this one is for "${loader}"`;
  }
  if (!notes.numbers.has('ENTRY') && notes.numbers.has('PHYS32_ENTRY')) {
    return 'the kernel can be started in a PVH domain only: it was built without CONFIG_XEN_PV';
  }
  const feature = notes.requiredFeatures.find((name) => UNAVAILABLE_FEATURES.includes(name));
  return feature === undefined
    ? undefined
    : `the kernel requires the feature ${feature}, which a PV domain does not have`;
}

function notesOfSections(elf: ElfFile): ElfNote[] {
  const sections = elfSections(elf.bytes);
  const notes = sections
    .filter((section) => section.type === SHT_NOTE)
    .flatMap((section) => parseNotes(section.content));
  const ours = notes.filter(isXens);
  if (ours.length === 0 && sections.some((section) => section.name === LEGACY_SECTION)) {
    throw new ElfError(
      `the kernel describes itself in a ${LEGACY_SECTION} section, as kernels before 2.6.18 did; only ELF notes are supported`,
    );
  }
  return ours;
}

function isXens(note: ElfNote): boolean {
  return note.name === ELFNOTE_OWNER;
}

function nameOf(type: number): { name: ElfnoteName; kind: 'number' | 'string' } | undefined {
  for (const [name, entry] of Object.entries(elfnotes)) {
    // The pairs of L1_MFN_VALID are nothing to the builder: libxc, too, takes the note for unknown.
    if (entry.type === type && entry.kind !== 'pairs') return { name: name as ElfnoteName, kind: entry.kind };
  }
  return undefined;
}

function numberOf(desc: Uint8Array): number | undefined {
  const view = new DataView(desc.buffer, desc.byteOffset, desc.length);
  if (desc.length === 4) return view.getUint32(0, true);
  if (desc.length === 8) return signedOf(view.getUint32(0, true), view.getUint32(4, true));
  return undefined;
}

/** Printable text up to the NUL; a note is shown to people. */
function stringOf(desc: Uint8Array): string {
  const end = desc.indexOf(0);
  let text = '';
  for (const byte of desc.subarray(0, end < 0 ? desc.length : end)) {
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '?';
  }
  return text;
}
