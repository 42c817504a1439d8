/** The PV platform's block of a domain (layout.pvDomainAt): shared state, then at 8192 Xen's page of the GDT. */
import { array, s32, struct, u32 } from '../../abi/struct.ts';
import { MAX_VCPUS } from '../domain-memory.ts';

/** A power of two. */
export const RECORDED_CHANGES = 512;

export const PvDomainState = struct(
  'pv_domain',
  {
    /** Counts TLB flushes; see tlb.ts. */
    tlbClock: s32,
    /** For each vCPU and each of its two TLB sets: when it was last emptied. */
    tlbTimes: array(s32, 2 * MAX_VCPUS),
    m2pStrict: u32,
    /** Counts changes of page tables that make translations wrong, and what the last of them were about; see table-changes.ts. */
    tablesVersion: s32,
    tablesChanged: array(s32, RECORDED_CHANGES),
  },
  'internal',
);
