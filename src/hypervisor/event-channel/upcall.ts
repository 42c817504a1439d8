/** What follows from an event for the vCPU it notifies. After vcpu_mark_events_pending and evtchn_check_pollers. */
import { VcpuInfo } from '../../abi/arch-x86.ts';
import type { Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { VcpuState } from '../state.ts';

/** Sets evtchn_upcall_pending; when that is news, the vCPU wakes up or leaves the guest. */
export function markEventsPending(domain: Domain, vcpu: number): void {
  const info = domain.u32[(domain.vcpuAt(vcpu) + VcpuState.at.infoAt) >>> 2] ?? 0;
  if (info === 0) return;
  if (Atomics.exchange(domain.u8, info + VcpuInfo.at.evtchn_upcall_pending, 1) === 0) domain.unblock(vcpu);
}

const POLL_SEVERAL = -1;

/** Wakes the vCPUs that SCHEDOP_poll for this port, whether it is masked or not. */
export function checkPollers(domain: Domain, port: Port): void {
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    const poll = Atomics.load(domain.i32, (domain.vcpuAt(vcpu) + VcpuState.at.pollPort) >>> 2);
    if (poll === port || poll === POLL_SEVERAL) domain.unblock(vcpu);
  }
}
