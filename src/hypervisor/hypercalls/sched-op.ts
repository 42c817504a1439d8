/** HYPERVISOR_sched_op, number 29, and its old form, number 6. After xen/include/public/sched.h. */
import { Errno } from '../../abi/errno.ts';
import { MAX_POLL_PORTS, SchedPoll, SchedShutdown, SchedWatchdog } from '../../abi/sched.ts';
import { isValid } from '../event-channel/ports.ts';
import { isPending } from '../event-channel/raise.ts';
import type { HypercallArguments, HypercallRow, OpTable } from '../hypercall.ts';
import { dispatchOps, full, none, op, rawOp, refusedOp } from '../hypercall.ts';
import { Gpr } from '../processor.ts';
import { shutdownReasons } from '../control.ts';
import type { Vcpu } from '../vcpu.ts';
import { setWatchdog } from '../watchdog.ts';

const MAX_REASON = 0xff;

export const schedOps = {
  yield: rawOp({ nr: 0, support: full, run: (vcpu) => yieldCpu(vcpu) }),
  block: rawOp({ nr: 1, support: full, run: (vcpu) => block(vcpu) }),
  shutdown: op({ nr: 2, arg: SchedShutdown, support: full, run: (vcpu, a) => shutdown(vcpu, a.reason) }),
  poll: op({ nr: 3, arg: SchedPoll, support: full, run: (vcpu, a) => poll(vcpu, a.ports, a.nr_ports, a.timeout) }),
  remote_shutdown: refusedOp(4, none('for the control domain', Errno.EPERM)),
  shutdown_code: op({ nr: 5, arg: SchedShutdown, support: full, run: () => 0 }),
  watchdog: op({
    nr: 6,
    arg: SchedWatchdog,
    support: full,
    run: (vcpu, a) => setWatchdog(vcpu.domain, a.id, a.timeout, vcpu.now()),
  }),
  pin_override: refusedOp(7, none('for the control domain', Errno.EPERM)),
} satisfies OpTable;

const dispatch = dispatchOps(schedOps);

export const schedOpRow: HypercallRow = {
  nr: 29,
  name: 'sched_op',
  args: ['cmd', 'arg'],
  support: full,
  run: (vcpu, args) => dispatch(vcpu, args.u32(0), args.num(1), args),
};

/** The form before 2005: the argument itself instead of a pointer to it. */
export const schedOpCompatRow: HypercallRow = {
  nr: 6,
  name: 'sched_op_compat',
  args: ['cmd', 'arg'],
  support: full,
  run: compat,
};

function compat(vcpu: Vcpu, args: HypercallArguments): number {
  switch (args.u32(0)) {
    case schedOps.yield.nr:
      return yieldCpu(vcpu);
    case schedOps.block.nr:
      return block(vcpu);
    case schedOps.shutdown.nr:
      return shutdown(vcpu, args.u32(1));
    default:
      return Errno.ENOSYS;
  }
}

function yieldCpu(vcpu: Vcpu): number {
  vcpu.yielding = true;
  vcpu.attention = true;
  return 0;
}

/** Unmasks events and sleeps until one is pending. */
function block(vcpu: Vcpu): number {
  vcpu.upcallMask = false;
  vcpu.store('blocked', 1);
  vcpu.attention = true;
  // Whoever makes an event pending clears `blocked` after that, so looking afterwards loses none.
  if (vcpu.eventsDeliverable) vcpu.store('blocked', 0);
  return 0;
}

function shutdown(vcpu: Vcpu, reason: number): number {
  if (reason > MAX_REASON) return Errno.EINVAL;
  if (reason === shutdownReasons.suspend) vcpu.domain.set('suspendMfn', vcpu.processor.state.lo(Gpr.rdx));
  vcpu.shutDown(reason);
  return 0;
}

/** Sleeps until one of the ports is pending, whether masked or not, or until `timeout` (absolute, 0: never). */
function poll(vcpu: Vcpu, ports: number, count: number, timeout: number): number {
  const { domain } = vcpu;
  if (count > MAX_POLL_PORTS) return Errno.EINVAL;
  if (!vcpu.guest.allowed(ports, count * 4)) return Errno.EFAULT;
  const polled: number[] = [];
  for (let i = 0; i < count; i++) {
    const port = vcpu.guest.readU32(ports + i * 4);
    if (port === undefined) return Errno.EFAULT;
    if (!isValid(domain, port)) return Errno.EINVAL;
    polled.push(port);
  }
  vcpu.store('pollPort', polled.length === 1 ? (polled[0] ?? 0) : -1);
  vcpu.store('blocked', 1);
  vcpu.attention = true;
  const ready = domain.locked(() => vcpu.eventsDeliverable || polled.some((port) => isPending(domain, port)));
  if (ready) {
    vcpu.store('pollPort', 0);
    vcpu.store('blocked', 0);
    return 0;
  }
  if (timeout !== 0) vcpu.setDouble('pollTimeout', timeout);
  return 0;
}
