/**
 * The machine-to-physical table and the tables that show it to the guest at MACH2PHYS_VIRT_START. All domains' L4
 * tables point to the one L3 here, so the page walker needs to know nothing of Xen.
 *
 * Only frames of the domain exist for it. The rest of the 256 GiB window reads as ~0 (INVALID_M2P_ENTRY) through shared
 * tables: Linux reads entries before it can handle a fault (`xen_setup_kernel_pagetable`).
 */
import { ENTRIES, INVALID_M2P_ENTRY, PTE, PTE_HI } from '../../abi/arch-x86/page-table.ts';
import type { Mfn } from '../../abi/numbers.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';

/** 256 GiB in L3 entries of 1 GiB. */
const WINDOW_L3_ENTRIES = 256;
const TABLE_LO = PTE.P | PTE.US | PTE.A | PTE.RW;
const LEAF_LO = PTE.P | PTE.US | PTE.A;

/** Frames of the window's tables, counted from layout.m2pTablesMfn. */
const tables = { l3: 0, l2: 1, restL2: 2, restL1: 3, ones: 4, l1: 5 } as const;

export function setM2p(domain: Domain, mfn: Mfn, lo: number, hi: number): void {
  const index = domain.frameAt(domain.layout.m2pMfn) / 4 + mfn * 2;
  domain.i32[index] = lo;
  domain.i32[index + 1] = hi;
}

export function invalidateM2p(domain: Domain, mfn: Mfn): void {
  setM2p(domain, mfn, INVALID_M2P_ENTRY, INVALID_M2P_ENTRY);
}

/** The PFN of a frame; undefined when the frame is nobody's RAM. */
export function m2p(domain: Domain, mfn: Mfn): number | undefined {
  const index = domain.frameAt(domain.layout.m2pMfn) / 4 + mfn * 2;
  const hi = domain.u32[index + 1] ?? 0;
  return hi === 0 ? domain.u32[index] : undefined;
}

/** Low and high half of the entry that L4 slot 256 gets. */
export function m2pL4Entry(domain: Domain): number {
  return ((domain.layout.m2pTablesMfn + tables.l3) << 12) | TABLE_LO;
}

/** Builds the table and its window: no frame is RAM yet. */
export function buildM2p(domain: Domain): void {
  const { m2pMfn, m2pFrames, m2pTablesMfn } = domain.layout;
  domain.u8.fill(0xff, domain.frameAt(m2pMfn), domain.frameAt(m2pMfn + m2pFrames));
  const frame = (table: keyof typeof tables): Mfn => m2pTablesMfn + tables[table];
  domain.frame(frame('ones')).fill(0xff);
  const set = (table: Mfn, slot: number, target: Mfn, leaf = false): void => {
    const index = (domain.frameAt(table) + slot * 8) / 4;
    domain.i32[index] = (target * PAGE_SIZE) | (leaf ? LEAF_LO : TABLE_LO);
    domain.i32[index + 1] = leaf ? PTE_HI.NX | 0 : 0;
  };
  for (let slot = 0; slot < WINDOW_L3_ENTRIES; slot++)
    set(frame('l3'), slot, slot === 0 ? frame('l2') : frame('restL2'));
  for (let slot = 0; slot < ENTRIES; slot++) {
    const l1 = slot * ENTRIES < m2pFrames;
    set(frame('l2'), slot, l1 ? frame('l1') + slot : frame('restL1'));
    set(frame('restL2'), slot, frame('restL1'));
    set(frame('restL1'), slot, frame('ones'), true);
    if (!l1) continue;
    for (let i = 0; i < ENTRIES; i++) {
      const page = slot * ENTRIES + i;
      set(frame('l1') + slot, i, page < m2pFrames ? m2pMfn + page : frame('ones'), true);
    }
  }
}
