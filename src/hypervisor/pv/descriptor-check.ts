/** What descriptors a guest's GDT and LDT may hold. After check_descriptor in xen/arch/x86/pv/descriptor-tables.c. */
import { FIRST_RESERVED_GDT_ENTRY } from '../../abi/arch-x86.ts';
import { FLAT_KERNEL_CS } from '../../abi/arch-x86/xen-x86_64.ts';

const SEGMENT_P = 1 << 15;
const SEGMENT_DPL = 3 << 13;
const SEGMENT_S = 1 << 12;
const SEGMENT_TYPE = 0xf00;
const TYPE_CALL_GATE = 0xc00;

/**
 * check_descriptor: a descriptor as the guest may have it, or undefined. Code and data segments get DPL 3; of the system
 * descriptors only call gates to user code may be.
 */
export function checkDescriptor(lo: number, hi: number): { readonly lo: number; readonly hi: number } | undefined {
  if ((hi & SEGMENT_P) === 0) return { lo, hi };
  const raised = hi | SEGMENT_DPL;
  if ((hi & SEGMENT_S) !== 0) return { lo, hi: raised };
  const type = hi & SEGMENT_TYPE;
  if (type === 0) return { lo, hi };
  if (type !== TYPE_CALL_GATE) return undefined;
  const selector = lo >>> 16;
  if (!gateSelectorOkay(selector) || (hi & 0xff) !== 0) return undefined;
  // The gate's DPL moves into the selector's RPL, and DPL 0 makes its use fault.
  return { lo: (lo & 0xffff) | (((selector & ~3) | 3) << 16), hi: hi & ~SEGMENT_DPL };
}

/** guest_gate_selector_okay: one of the guest's own descriptors, or the flat code segment. */
function gateSelectorOkay(selector: number): boolean {
  return selector >>> 3 < FIRST_RESERVED_GDT_ENTRY || selector === FLAT_KERNEL_CS || (selector & 4) !== 0;
}
