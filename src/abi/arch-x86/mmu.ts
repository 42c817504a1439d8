/** HYPERVISOR_mmu_update, update_va_mapping and mmuext_op: after xen/include/public/xen.h. */
import { struct, u32, u64lohi } from '../struct.ts';

/** Bits 1:0 of mmu_update.ptr. */
export const MMU = {
  NORMAL_PT_UPDATE: 0,
  MACHPHYS_UPDATE: 1,
  PT_UPDATE_PRESERVE_AD: 2,
  PT_UPDATE_NO_TRANSLATE: 3,
} as const;

export const MmuUpdate = struct('mmu_update', { ptr: u64lohi, val: u64lohi }, 16);

/** arg1 is an mfn or a linear address; arg2 a count, an mfn or a pointer to a bitmap of vCPUs. */
export const MmuextOp = struct('mmuext_op', { cmd: u32, arg1: u64lohi, arg2: u64lohi }, 24);

export const MMUEXT = {
  PIN_L1_TABLE: 0,
  PIN_L2_TABLE: 1,
  PIN_L3_TABLE: 2,
  PIN_L4_TABLE: 3,
  UNPIN_TABLE: 4,
  NEW_BASEPTR: 5,
  TLB_FLUSH_LOCAL: 6,
  INVLPG_LOCAL: 7,
  TLB_FLUSH_MULTI: 8,
  INVLPG_MULTI: 9,
  TLB_FLUSH_ALL: 10,
  INVLPG_ALL: 11,
  FLUSH_CACHE: 12,
  SET_LDT: 13,
  NEW_USER_BASEPTR: 15,
  CLEAR_PAGE: 16,
  COPY_PAGE: 17,
  FLUSH_CACHE_GLOBAL: 18,
  MARK_SUPER: 19,
  UNMARK_SUPER: 20,
} as const;

/** Flags of update_va_mapping: what to flush (bits 1:0) and where (the rest: local, all, or a pointer to a bitmap of vCPUs). */
export const UVMF = { NONE: 0, TLB_FLUSH: 1, INVLPG: 2, FLUSHTYPE_MASK: 3, MULTI: 0, LOCAL: 0, ALL: 4 } as const;
