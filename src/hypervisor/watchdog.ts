/** SCHEDOP_watchdog: two timers for a domain; one that expires ends it. After xen/common/sched/core.c, domain_watchdog. */
import { Errno } from '../abi/errno.ts';
import { shutdownReasons } from './control.ts';
import type { Domain } from './domain.ts';
import { DomainState } from './state.ts';
import type { Vcpu } from './vcpu.ts';

const WATCHDOGS = 2;
const NS_PER_SECOND = 1e9;

const deadlineIndex = (domain: Domain, i: number): number => (domain.at + DomainState.at.watchdogs + i * 8) >>> 3;

/** `id` 0 takes a free timer and returns its id (1 or 2); timeout 0 frees timer `id`; otherwise it is set anew. */
export function setWatchdog(domain: Domain, id: number, timeoutSeconds: number, now: number): number {
  const { f64 } = domain;
  if (id > WATCHDOGS) return Errno.EINVAL;
  return domain.locked(() => {
    if (id === 0) {
      if (timeoutSeconds === 0) return Errno.EINVAL;
      for (let i = 0; i < WATCHDOGS; i++) {
        if (f64[deadlineIndex(domain, i)] !== 0) continue;
        f64[deadlineIndex(domain, i)] = now + timeoutSeconds * NS_PER_SECOND;
        return i + 1;
      }
      return Errno.ENOSPC;
    }
    if (f64[deadlineIndex(domain, id - 1)] === 0) return Errno.EINVAL;
    f64[deadlineIndex(domain, id - 1)] = timeoutSeconds === 0 ? 0 : now + timeoutSeconds * NS_PER_SECOND;
    return 0;
  });
}

export function checkWatchdogs(vcpu: Vcpu, now: number): void {
  const { domain } = vcpu;
  for (let i = 0; i < WATCHDOGS; i++) {
    const deadline = domain.f64[deadlineIndex(domain, i)] ?? 0;
    if (deadline === 0 || deadline > now) continue;
    domain.f64[deadlineIndex(domain, i)] = 0;
    vcpu.glue.log('guestWarning', `Watchdog timer ${i} fired for domain d${domain.domid}`);
    vcpu.shutDown(shutdownReasons.watchdog);
  }
}

export function nextWatchdog(domain: Domain): number {
  let next = Infinity;
  for (let i = 0; i < WATCHDOGS; i++) {
    const deadline = domain.f64[deadlineIndex(domain, i)] ?? 0;
    if (deadline !== 0 && deadline < next) next = deadline;
  }
  return next;
}
