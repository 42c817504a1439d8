import { hypercallLoop, pageFaultLoop, syscallLoop } from '../pv/loops.ts';
import { roundTrip } from '../pv/round-trip.ts';
import type { Row } from '../row.ts';

const common = { unit: 'ns', better: 'lower', peers: {} } as const;
const measured =
  (loop: Parameters<typeof roundTrip>[0]): Row['measure'] =>
  () =>
    Promise.resolve(roundTrip(loop));

export const hypercall: Row = {
  ...common,
  name: 'hypercall.roundtrip',
  about: 'xen_version(0, 0) from guest code: a loop with it on a PV vCPU, less the same loop without its SYSCALL',
  goal: 1000,
  measure: measured(hypercallLoop),
};

export const syscall: Row = {
  ...common,
  name: 'syscall.roundtrip',
  about: 'SYSCALL of user mode to the guest kernel’s callback, and back by its iret hypercall',
  goal: 2000,
  measure: measured(syscallLoop),
};

export const pageFault: Row = {
  ...common,
  name: 'pagefault.roundtrip',
  about: 'a page fault in kernel mode, its bounce to a handler of nine instructions, and back by the iret hypercall',
  goal: 2000,
  measure: measured(pageFaultLoop),
};
