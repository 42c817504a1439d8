/** HYPERVISOR_set_timer_op, number 15. After do_set_timer_op of xen/common/sched/core.c. */
import type { HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';

/** Further away than 2^50 ns is a guest that computed nonsense: Xen answers with a tick soon, and so Linux recovers. */
const TOO_FAR = 2 ** 50;
const SOON = 100e6;

export const setTimerOpRow: HypercallRow = {
  nr: 15,
  name: 'set_timer_op',
  args: ['timeout'],
  support: full,
  run(vcpu, args) {
    const timeout = args.num(0);
    const now = vcpu.now();
    const strange = timeout < 0 || timeout - now >= TOO_FAR;
    vcpu.setDouble('singleshot', strange ? now + SOON : timeout);
    return 0;
  },
};
