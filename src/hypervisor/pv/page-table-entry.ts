/** The rules for single entries of a PV guest's page tables. After xen/arch/x86/mm.c and xen/arch/x86/pv/mm.h. */
import { FIRST_XEN_SLOT, LAST_XEN_SLOT, PTE, PTE_HI } from '../../abi/arch-x86/page-table.ts';
import { PGT } from './page-type.ts';

/** Bits that an L1 entry of a domain without devices may not have: no cache attributes (l1_disallow_mask). */
export const L1_DISALLOW = PTE.PWT | PTE.PCD | PTE.PAT;
/** Bits that L2 to L4 entries may not have (base_disallow_mask). */
export const TABLE_DISALLOW = PTE.PWT | PTE.PCD | PTE.PSE | PTE.G;
/** A change of any of these needs the entry to be checked again (the complement of FASTPATH_FLAG_WHITELIST). */
export const RECHECK_LO = PTE.P | PTE.RW | PTE.PWT | PTE.PCD | PTE.PAT | PTE.ADDRESS;
export function isXenSlot(slot: number): boolean {
  return slot >= FIRST_XEN_SLOT && slot <= LAST_XEN_SLOT;
}

/** adjust_guest_l1e: kernel pages become user pages with a mark, user pages become global. */
export function adjustL1Lo(lo: number, hi: number): number {
  const guestKernel = (hi & PTE_HI.GUEST_KERNEL) !== 0 || (lo & PTE.US) === 0;
  return guestKernel ? lo | PTE.US : lo | PTE.US | PTE.G;
}

export function adjustL1Hi(lo: number, hi: number): number {
  return (lo & PTE.US) === 0 ? hi | PTE_HI.GUEST_KERNEL : hi;
}

/** adjust_guest_l2e … l4e: US always, and A in L4 entries, whose own would not be seen by the guest in time. */
export function adjustTableLo(lo: number, level: number): number {
  return lo | (level === PGT.l4_page_table ? PTE.US | PTE.A : PTE.US);
}
