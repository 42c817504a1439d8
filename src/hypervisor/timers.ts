/** Timers of a vCPU: single-shot, periodic, poll timeout; all deadlines are absolute system times, 0 meaning not set. */
import { VIRQ_TIMER, raiseVcpuVirq } from './event-channel/virq.ts';
import { checkWatchdogs, nextWatchdog } from './watchdog.ts';
import type { Vcpu } from './vcpu.ts';

/** Exits between two looks at the clock while the guest makes hypercalls one after another. */
export const EVENT_CHECK_EXITS = 16;

export function runTimers(vcpu: Vcpu): void {
  const now = vcpu.now();
  const singleshot = vcpu.getDouble('singleshot');
  if (singleshot !== 0 && singleshot <= now) {
    vcpu.setDouble('singleshot', 0);
    raiseVcpuVirq(vcpu.domain, vcpu.id, VIRQ_TIMER);
  }
  const periodic = vcpu.getDouble('nextPeriodic');
  if (periodic !== 0 && periodic <= now) {
    // Ticks that nobody could see are not made up for (xen/common/sched/core.c, vcpu_periodic_timer_work).
    const period = vcpu.getDouble('period');
    vcpu.setDouble('nextPeriodic', periodic + Math.max(1, Math.ceil((now - periodic + 1) / period)) * period);
    raiseVcpuVirq(vcpu.domain, vcpu.id, VIRQ_TIMER);
  }
  const poll = vcpu.getDouble('pollTimeout');
  if (poll !== 0 && poll <= now) {
    endPoll(vcpu);
    vcpu.store('blocked', 0);
  }
  checkWatchdogs(vcpu, now);
}

/** SCHEDOP_poll is over, whatever ended it. */
export function endPoll(vcpu: Vcpu): void {
  vcpu.setDouble('pollTimeout', 0);
  vcpu.store('pollPort', 0);
}

/** The next time `runTimers` has something to do; Infinity: never. */
export function nextDeadline(vcpu: Vcpu): number {
  let next = Infinity;
  for (const name of ['singleshot', 'nextPeriodic', 'pollTimeout'] as const) {
    const deadline = vcpu.getDouble(name);
    if (deadline !== 0 && deadline < next) next = deadline;
  }
  return Math.min(next, nextWatchdog(vcpu.domain));
}
