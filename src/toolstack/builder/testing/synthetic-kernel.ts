/** Small kernels for tests: an ELF file with the notes and segments that a test asks for, or a bzImage around it. */
import { gzipSync } from 'node:zlib';
import { HDRS_MAGIC, SECTOR_SIZE, SETUP_HEADER_AT, SetupHeader } from '../../../abi/bzimage.ts';
import {
  ELF_MAGIC,
  Elf64Ehdr,
  Elf64Phdr,
  ELFCLASS64,
  ELFDATA2LSB,
  ElfNhdr,
  EM_X86_64,
  ET_EXEC,
  PT_LOAD,
  PT_NOTE,
} from '../../../abi/elf.ts';
import { ELFNOTE_OWNER, elfnotes, type ElfnoteName } from '../../../abi/elfnote.ts';
import { hiOf, loOf } from '../../../abi/numbers.ts';

export interface SyntheticSegment {
  readonly paddr: number;
  readonly vaddr?: number;
  readonly memSize: number;
  readonly content?: Uint8Array;
}

/** Notes by name; a number is written in 8 bytes, one in an array in 4. */
export type SyntheticNotes = Partial<Record<ElfnoteName, number | readonly [number] | string>>;

export interface SyntheticKernel {
  readonly segments?: readonly SyntheticSegment[];
  readonly notes?: SyntheticNotes;
}

/** Debian's 6.1.192, in all that the builder looks at. */
export const debianNotes: SyntheticNotes = {
  GUEST_OS: 'linux',
  XEN_VERSION: 'xen-3.0',
  VIRT_BASE: -0x8000_0000,
  INIT_P2M: 0x80_0000_0000,
  ENTRY: -0x8000_0000 + 0x30791c0,
  FEATURES: '!writable_page_tables|pae_pgdir_above_4gb',
  LOADER: 'generic',
  MOD_START_PFN: [1],
  HV_START_LOW: -0x8000_0000_0000,
  PADDR_OFFSET: 0,
};
export const debianSegments: readonly SyntheticSegment[] = [
  { paddr: 0x1000000, memSize: 0x18ea9f0, content: new Uint8Array([1, 2, 3]) },
  { paddr: 0x2a00000, memSize: 0x644000, content: new Uint8Array([4, 5]) },
  // The per-CPU segment: only its physical address says where it goes.
  { paddr: 0x3044000, vaddr: 0, memSize: 0x35000, content: new Uint8Array([6, 7, 8, 9]) },
  { paddr: 0x3079000, memSize: 0x1987000, content: new Uint8Array([10]) },
];

/** CentOS 7's 3.10, likewise: no INIT_P2M, no MOD_START_PFN, but a hypercall page. */
export const el7Notes: SyntheticNotes = {
  GUEST_OS: 'linux',
  XEN_VERSION: 'xen-3.0',
  VIRT_BASE: -0x8000_0000,
  ENTRY: -0x8000_0000 + 0x1a001e0,
  HYPERCALL_PAGE: -0x8000_0000 + 0x1001000,
  FEATURES: '!writable_page_tables|pae_pgdir_above_4gb',
  LOADER: 'generic',
  PADDR_OFFSET: 0,
};

export function syntheticElf({ segments = debianSegments, notes = debianNotes }: SyntheticKernel = {}): Uint8Array {
  const noteBytes = Buffer.concat(Object.entries(notes).map(([name, value]) => noteOf(name as ElfnoteName, value)));
  const contents = [...segments.map(({ content }) => content ?? new Uint8Array()), noteBytes];
  let offset = Elf64Ehdr.size + contents.length * Elf64Phdr.size;
  const headers = contents.map((content, i) => {
    const segment = segments[i];
    const at = offset;
    offset += content.length;
    return {
      p_type: segment === undefined ? PT_NOTE : PT_LOAD,
      p_flags: 7,
      p_offset: at,
      p_vaddr: segment?.vaddr ?? (segment === undefined ? 0 : segment.paddr - 0x8000_0000),
      p_paddr: segment?.paddr ?? 0,
      p_filesz: content.length,
      p_memsz: segment?.memSize ?? content.length,
      p_align: 4096,
    };
  });
  const elf = new Uint8Array(offset);
  const view = new DataView(elf.buffer);
  Elf64Ehdr.write(view, 0, {
    e_ident: Uint8Array.of(...ELF_MAGIC, ELFCLASS64, ELFDATA2LSB, 1),
    e_type: ET_EXEC,
    e_machine: EM_X86_64,
    e_version: 1,
    e_entry: 0x1000000,
    e_phoff: Elf64Ehdr.size,
    e_ehsize: Elf64Ehdr.size,
    e_phentsize: Elf64Phdr.size,
    e_phnum: headers.length,
  });
  headers.forEach((header, i) => {
    Elf64Phdr.write(view, Elf64Ehdr.size + i * Elf64Phdr.size, header);
    elf.set(contents[i] ?? new Uint8Array(), header.p_offset);
  });
  return elf;
}

/** The payload at the end of a small real-mode part, gzip'ed unless it comes compressed. */
export function syntheticBzImage(elf: Uint8Array, compressed: Uint8Array = gzipSync(elf)): Uint8Array {
  const setupSects = 4;
  const payloadOffset = 0x2cc;
  const start = (setupSects + 1) * SECTOR_SIZE + payloadOffset;
  const file = new Uint8Array(start + compressed.length + 64);
  SetupHeader.write(new DataView(file.buffer), SETUP_HEADER_AT, {
    setup_sects: setupSects,
    header: HDRS_MAGIC,
    version: 0x020f,
    payload_offset: payloadOffset,
    payload_length: compressed.length,
  });
  file.set(compressed, start);
  return file;
}

function noteOf(name: ElfnoteName, value: number | readonly [number] | string): Uint8Array {
  const owner = Buffer.from(ELFNOTE_OWNER);
  const desc = descOf(value);
  const note = Buffer.alloc(ElfNhdr.size + align4(owner.length) + align4(desc.length));
  ElfNhdr.write(new DataView(note.buffer, note.byteOffset, note.length), 0, {
    n_namesz: owner.length,
    n_descsz: desc.length,
    n_type: elfnotes[name].type,
  });
  note.set(owner, ElfNhdr.size);
  note.set(desc, ElfNhdr.size + align4(owner.length));
  return note;
}

function descOf(value: number | readonly [number] | string): Uint8Array {
  if (typeof value === 'string') return Buffer.from(`${value}\0`);
  if (typeof value !== 'number') {
    const desc = Buffer.alloc(4);
    desc.writeUInt32LE(loOf(value[0]));
    return desc;
  }
  const desc = Buffer.alloc(8);
  desc.writeUInt32LE(loOf(value), 0);
  desc.writeUInt32LE(hiOf(value), 4);
  return desc;
}

function align4(value: number): number {
  return Math.ceil(value / 4) * 4;
}
