/** The parts of 64-bit ELF that a loader reads; after the "ELF-64 Object File Format" and the x86-64 psABI. */
import { bytes, s64, struct, u16, u32, u64 } from './struct.ts';

/** e_ident */
export const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46] as const;
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const ELFCLASS32 = 1;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;

export const EV_CURRENT = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;
export const EM_386 = 3;
export const EM_X86_64 = 62;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const SHT_NULL = 0;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;

export const Elf64Ehdr = struct(
  'Elf64_Ehdr',
  {
    e_ident: bytes(16),
    e_type: u16,
    e_machine: u16,
    e_version: u32,
    e_entry: s64,
    e_phoff: u64,
    e_shoff: u64,
    e_flags: u32,
    e_ehsize: u16,
    e_phentsize: u16,
    e_phnum: u16,
    e_shentsize: u16,
    e_shnum: u16,
    e_shstrndx: u16,
  },
  64,
);

export const Elf64Phdr = struct(
  'Elf64_Phdr',
  { p_type: u32, p_flags: u32, p_offset: u64, p_vaddr: s64, p_paddr: u64, p_filesz: u64, p_memsz: u64, p_align: u64 },
  56,
);

export const Elf64Shdr = struct(
  'Elf64_Shdr',
  {
    sh_name: u32,
    sh_type: u32,
    sh_flags: u64,
    sh_addr: s64,
    sh_offset: u64,
    sh_size: u64,
    sh_link: u32,
    sh_info: u32,
    sh_addralign: u64,
    sh_entsize: u64,
  },
  64,
);

/** Followed by the name and the descriptor, each padded to four bytes. */
export const ElfNhdr = struct('Elf64_Nhdr', { n_namesz: u32, n_descsz: u32, n_type: u32 }, 12);

export const Elf64Sym = struct(
  'Elf64_Sym',
  { st_name: u32, st_info: bytes(1), st_other: bytes(1), st_shndx: u16, st_value: s64, st_size: u64 },
  24,
);
