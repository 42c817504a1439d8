/**
 * Page-table entries of 4-level paging as a 64-bit PV guest writes and reads them, in 32-bit halves.
 * SDM Vol. 3A, "4-Level Paging and 5-Level Paging"; Xen's use of the software bits: xen/arch/x86/include/asm/x86_64/page.h.
 */

/** Bits of an entry's low half. */
export const PTE = {
  P: 0x001,
  RW: 0x002,
  US: 0x004,
  PWT: 0x008,
  PCD: 0x010,
  A: 0x020,
  D: 0x040,
  /** Page size in an L2 or L3 entry; the PAT bit in an L1 entry. */
  PSE: 0x080,
  PAT: 0x080,
  G: 0x100,
  /** Software bits 9 to 11. */
  AVL: 0xe00,
  ADDRESS: 0xfffff000,
} as const;

/** Bits of an entry's high half. */
export const PTE_HI = {
  /** Address bits 51:32. */
  ADDRESS: 0x000fffff,
  /** Bit 52, set by Xen where the guest's own entry had no US: `_PAGE_GUEST_KERNEL`. */
  GUEST_KERNEL: 0x00100000,
  /** Software bits 52 to 62. */
  AVL: 0x7ff00000,
  /** Bit 62, `_PAGE_GNTTAB`: marks a granted mapping in debug builds only. */
  GNTTAB: 0x40000000,
  NX: 0x80000000,
} as const;

export const ENTRIES = 512;

/** Index into the table of `level` (1 to 4) that translates `va`. */
export function slotOf(va: number, level: number): number {
  // A canonical address is exact in a double, so the shift is a division; level 1 and 2 fit the low half.
  const page = Math.floor(va / 4096);
  return Math.floor(page / 512 ** (level - 1)) & 511;
}

/** First and last L4 slot that belong to Xen (ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT). */
export const FIRST_XEN_SLOT = 256;
export const LAST_XEN_SLOT = 271;

/** MACH2PHYS_NR_ENTRIES - 1: the highest frame number that the M2P window of a guest covers. */
export const MACH2PHYS_MAX_MFN = 0x7ff_ffff;
/** Either half of an M2P entry for a frame that is nobody's RAM (INVALID_M2P_ENTRY). */
export const INVALID_M2P_ENTRY = 0xffff_ffff;

/** Whether a signed 64-bit value is a canonical 48-bit address. */
export function isCanonical(va: number): boolean {
  return va >= -0x8000_0000_0000 && va < 0x8000_0000_0000;
}
