/**
 * Reads the headers of a 64-bit x86 ELF file. The file comes from outside: everything that it says about itself is
 * checked against its length before it is used.
 */
import {
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  EI_CLASS,
  EI_DATA,
  Elf64Ehdr,
  Elf64Phdr,
  Elf64Shdr,
  ElfNhdr,
  EM_X86_64,
  PT_LOAD,
  PT_NOTE,
  SHT_NOBITS,
} from '../../abi/elf.ts';
import type { ValueOf } from '../../abi/struct.ts';

/** The file is no ELF file that can be used; the message says why. */
export class ElfError extends Error {
  override readonly name = 'ElfError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly vaddr: number;
  readonly paddr: number;
  readonly memSize: number;
}

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly addr: number;
  readonly link: number;
  readonly entrySize: number;
  /** Empty for sections without bytes in the file, and for those that lie outside it. */
  readonly content: Uint8Array;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

export interface ElfFile {
  readonly bytes: Uint8Array;
  readonly type: number;
  readonly entry: number;
  /** PT_LOAD, in file order, empty ones left out. */
  readonly load: readonly ElfSegment[];
  /** Contents of the PT_NOTE segments. */
  readonly noteSegments: readonly Uint8Array[];
}

/** Kernels have a handful; more than this is no kernel. */
const MAX_PROGRAM_HEADERS = 128;
const MAX_SECTIONS = 4096;
const MAX_NOTES = 1024;

export function isElf(bytes: Uint8Array): boolean {
  return ELF_MAGIC.every((byte, i) => bytes[i] === byte);
}

/** ELFCLASS32 or ELFCLASS64 of something that `isElf`. */
export function elfClass(bytes: Uint8Array): number | undefined {
  return bytes[EI_CLASS];
}

export function parseElf(bytes: Uint8Array): ElfFile {
  const { view, header } = readHeader(bytes);
  if (header.e_machine !== EM_X86_64) throw new ElfError(`made for machine ${header.e_machine}, not for x86-64`);
  if (header.e_phnum === 0) throw new ElfError('no program headers');
  if (header.e_phnum > MAX_PROGRAM_HEADERS) throw new ElfError(`${header.e_phnum} program headers`);
  if (header.e_phentsize < Elf64Phdr.size) throw new ElfError('program headers of an unknown size');
  mustFit(bytes, header.e_phoff, header.e_phnum * header.e_phentsize, 'program headers');

  const load: ElfSegment[] = [];
  const noteSegments: Uint8Array[] = [];
  for (let i = 0; i < header.e_phnum; i++) {
    const ph = Elf64Phdr.read(view, header.e_phoff + i * header.e_phentsize);
    if (ph.p_type !== PT_LOAD && ph.p_type !== PT_NOTE) continue;
    mustFit(bytes, ph.p_offset, ph.p_filesz, `segment ${i}`);
    if (ph.p_type === PT_NOTE) {
      noteSegments.push(bytes.subarray(ph.p_offset, ph.p_offset + ph.p_filesz));
      continue;
    }
    if (ph.p_memsz < ph.p_filesz) throw new ElfError(`segment ${i} is larger in the file than in memory`);
    if (!Number.isSafeInteger(ph.p_paddr + ph.p_memsz)) throw new ElfError(`segment ${i} has an address out of range`);
    if (ph.p_memsz === 0) continue;
    load.push({
      fileOffset: ph.p_offset,
      fileSize: ph.p_filesz,
      vaddr: ph.p_vaddr,
      paddr: ph.p_paddr,
      memSize: ph.p_memsz,
    });
  }
  if (load.length === 0) throw new ElfError('nothing to load');
  return { bytes, type: header.e_type, entry: header.e_entry, load, noteSegments };
}

/** All sections; an ELF file without a section table has none. Also reads relocatable files (kernel modules). */
export function elfSections(bytes: Uint8Array): ElfSection[] {
  const { view, header } = readHeader(bytes);
  if (header.e_shoff === 0 || header.e_shnum === 0) return [];
  if (header.e_shnum > MAX_SECTIONS) throw new ElfError(`${header.e_shnum} sections`);
  if (header.e_shentsize < Elf64Shdr.size) throw new ElfError('section headers of an unknown size');
  mustFit(bytes, header.e_shoff, header.e_shnum * header.e_shentsize, 'section headers');

  const headers: ValueOf<typeof Elf64Shdr>[] = [];
  for (let i = 0; i < header.e_shnum; i++) {
    headers.push(Elf64Shdr.read(view, header.e_shoff + i * header.e_shentsize));
  }
  const contentOf = (sh: ValueOf<typeof Elf64Shdr>): Uint8Array =>
    sh.sh_type === SHT_NOBITS || !fits(bytes, sh.sh_offset, sh.sh_size)
      ? new Uint8Array()
      : bytes.subarray(sh.sh_offset, sh.sh_offset + sh.sh_size);
  const names = headers[header.e_shstrndx];
  const strings = names === undefined ? new Uint8Array() : contentOf(names);
  return headers.map((sh) => ({
    name: cString(strings, sh.sh_name),
    type: sh.sh_type,
    addr: sh.sh_addr,
    link: sh.sh_link,
    entrySize: sh.sh_entsize,
    content: contentOf(sh),
  }));
}

/** The notes in a PT_NOTE segment or SHT_NOTE section; a damaged one ends the list. */
export function parseNotes(content: Uint8Array): ElfNote[] {
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  const notes: ElfNote[] = [];
  let at = 0;
  while (at + ElfNhdr.size <= content.length && notes.length < MAX_NOTES) {
    const header = ElfNhdr.read(view, at);
    const nameAt = at + ElfNhdr.size;
    const descAt = nameAt + align4(header.n_namesz);
    const end = descAt + header.n_descsz;
    if (end > content.length) break;
    notes.push({
      name: latin1(content.subarray(nameAt, nameAt + header.n_namesz)),
      type: header.n_type,
      desc: content.subarray(descAt, end),
    });
    at = descAt + align4(header.n_descsz);
  }
  return notes;
}

/** The NUL-terminated string at an offset; empty when the offset lies outside. */
export function cString(bytes: Uint8Array, at: number): string {
  if (at >= bytes.length) return '';
  const end = bytes.indexOf(0, at);
  return latin1(bytes.subarray(at, end < 0 ? bytes.length : end));
}

function readHeader(bytes: Uint8Array): { view: DataView; header: ValueOf<typeof Elf64Ehdr> } {
  if (!isElf(bytes)) throw new ElfError('not an ELF file');
  if (bytes[EI_CLASS] !== ELFCLASS64 || bytes[EI_DATA] !== ELFDATA2LSB) throw new ElfError('not a 64-bit x86 file');
  if (bytes.length < Elf64Ehdr.size) throw new ElfError('the ELF header is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { view, header: Elf64Ehdr.read(view, 0) };
}

function fits(bytes: Uint8Array, offset: number, length: number): boolean {
  return offset <= bytes.length && length <= bytes.length - offset;
}

function mustFit(bytes: Uint8Array, offset: number, length: number, what: string): void {
  if (!fits(bytes, offset, length)) throw new ElfError(`${what} lie outside the file, which seems to be cut off`);
}

function align4(value: number): number {
  return Math.ceil(value / 4) * 4;
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
