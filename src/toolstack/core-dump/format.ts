/**
 * Xen's dump-core format, version 0.1: an ELF file without program headers, whose sections hold what there is of a domain
 * (xen/docs/misc/dump-core-format.txt; the notes' types: xen/include/public/elfnote.h).
 */
import { CAPABILITIES_LENGTH, CHANGESET_LENGTH, EXTRAVERSION_LENGTH, XenCompileInfo } from '../../abi/version.ts';
import { bytes, guestHandle, struct, u64 } from '../../abi/struct.ts';

export const noteName = 'Xen';
export const noteTypes = {
  none: 0x2000000,
  header: 0x2000001,
  xenVersion: 0x2000002,
  formatVersion: 0x2000003,
} as const;

/** XC_CORE_MAGIC, of a paravirtualised domain. */
export const pvMagic = 0xf00febed;

export const HeaderDesc = struct(
  'xen_dumpcore_elfnote_header_desc',
  { xch_magic: u64, xch_nr_vcpus: u64, xch_nr_pages: u64, xch_page_size: u64 },
  32,
);

export const XenVersionDesc = struct(
  'xen_dumpcore_elfnote_xen_version_desc',
  {
    major_version: u64,
    minor_version: u64,
    extra_version: bytes(EXTRAVERSION_LENGTH),
    compile_info: XenCompileInfo,
    capabilities: bytes(CAPABILITIES_LENGTH),
    changeset: bytes(CHANGESET_LENGTH),
    virt_start: guestHandle,
    pagesize: u64,
  },
  1280,
);

/** 0.1 */
export const formatVersion = 1;
export const FormatVersionDesc = struct('xen_dumpcore_elfnote_format_version_desc', { version: u64 }, 8);

/** What the page with the same number in `.xen_pages` is. */
export const P2mEntry = struct('xen_dumpcore_p2m', { pfn: u64, gmfn: u64 }, 16);

/** In the order of libxc's section headers; the first has no name. */
export const sections = {
  none: '',
  names: '.shstrtab',
  notes: '.note.Xen',
  vcpus: '.xen_prstatus',
  sharedInfo: '.xen_shared_info',
  pages: '.xen_pages',
  p2m: '.xen_p2m',
} as const;
export type SectionName = keyof typeof sections;
