/** After xen/include/public/elfnote.h: notes named "Xen" by which a kernel tells the domain builder what it needs. */

/** What a note's descriptor holds. Numbers come in 4 or 8 bytes, strings with a NUL. */
export type ElfnoteKind = 'number' | 'string' | 'pairs';

export const elfnotes = {
  INFO: { type: 0, kind: 'string' },
  ENTRY: { type: 1, kind: 'number' },
  HYPERCALL_PAGE: { type: 2, kind: 'number' },
  VIRT_BASE: { type: 3, kind: 'number' },
  PADDR_OFFSET: { type: 4, kind: 'number' },
  XEN_VERSION: { type: 5, kind: 'string' },
  GUEST_OS: { type: 6, kind: 'string' },
  GUEST_VERSION: { type: 7, kind: 'string' },
  LOADER: { type: 8, kind: 'string' },
  PAE_MODE: { type: 9, kind: 'string' },
  FEATURES: { type: 10, kind: 'string' },
  BSD_SYMTAB: { type: 11, kind: 'string' },
  HV_START_LOW: { type: 12, kind: 'number' },
  L1_MFN_VALID: { type: 13, kind: 'pairs' },
  SUSPEND_CANCEL: { type: 14, kind: 'number' },
  INIT_P2M: { type: 15, kind: 'number' },
  MOD_START_PFN: { type: 16, kind: 'number' },
  SUPPORTED_FEATURES: { type: 17, kind: 'number' },
  PHYS32_ENTRY: { type: 18, kind: 'number' },
} as const satisfies Record<string, { readonly type: number; readonly kind: ElfnoteKind }>;
export type ElfnoteName = keyof typeof elfnotes;

/** The name that makes a note one of Xen's, with its NUL. */
export const ELFNOTE_OWNER = 'Xen\0';
