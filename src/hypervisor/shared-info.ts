/** shared_info of a new domain, and moving a vCPU's vcpu_info out of it (VCPUOP_register_vcpu_info). */
import { SharedInfo, VcpuInfo, XEN_LEGACY_MAX_VCPUS } from '../abi/arch-x86.ts';
import { Errno } from '../abi/errno.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import type { Domain } from './domain.ts';
import { markEventsPending } from './event-channel/upcall.ts';
import type { Clock } from './host-services.ts';
import type { PlatformKind } from './platform.ts';
import { VcpuState } from './state.ts';
import { updateTimeInfo, updateWallClock } from './time.ts';

/** Everything a guest may read before its first hypercall: masks set, clocks valid. */
export function initialiseSharedInfo(domain: Domain, clock: Clock): void {
  const base = domain.frameAt(domain.layout.sharedInfoMfn);
  domain.frame(domain.layout.sharedInfoMfn).fill(0);
  for (let vcpu = 0; vcpu < XEN_LEGACY_MAX_VCPUS; vcpu++) {
    const at = base + SharedInfo.at.vcpu_info + vcpu * VcpuInfo.size;
    domain.u8[at + VcpuInfo.at.evtchn_upcall_mask] = 1;
    if (!domain.hasVcpu(vcpu)) continue;
    domain.u32[(domain.vcpuAt(vcpu) + VcpuState.at.infoAt) >>> 2] = at;
    updateTimeInfo(domain, vcpu, clock.now());
  }
  updateWallClock(domain, clock);
}

/** After map_vcpu_info of xen/common/domain.c. `own`: a vCPU may do this to itself, or to one that is down. */
export function registerVcpuInfo(
  domain: Domain,
  kind: PlatformKind,
  clock: Clock,
  vcpu: number,
  own: boolean,
  mfn: number,
  offset: number,
): Errno | 0 {
  if (offset > PAGE_SIZE - VcpuInfo.size || offset % 8 !== 0) return Errno.EINVAL;
  const state = domain.vcpuAt(vcpu);
  const word = (field: 'infoAt' | 'infoRegistered' | 'infoMfn' | 'infoOffset' | 'online'): number =>
    (state + VcpuState.at[field]) >>> 2;
  return domain.locked(() => {
    if (domain.u32[word('infoRegistered')] !== 0) return Errno.EINVAL;
    if (!own && Atomics.load(domain.i32, word('online')) !== 0) return Errno.EINVAL;
    if (!kind.getWritable(domain, mfn)) return Errno.EINVAL;
    const from = domain.u32[word('infoAt')] ?? 0;
    const to = domain.frameAt(mfn) + offset;
    if (from !== 0) domain.u8.copyWithin(to, from, from + VcpuInfo.size);
    else {
      domain.u8.fill(0, to, to + VcpuInfo.size);
      domain.u8[to + VcpuInfo.at.evtchn_upcall_mask] = 1;
    }
    domain.u32[word('infoAt')] = to;
    domain.u32[word('infoMfn')] = mfn;
    domain.u32[word('infoOffset')] = offset;
    domain.u32[word('infoRegistered')] = 1;
    updateTimeInfo(domain, vcpu, clock.now());
    // Events may have been marked in the old place meanwhile: the guest shall look at everything once.
    VcpuInfo.write(domain.view, to, {
      evtchn_pending_sel: { lo: 0xffff_ffff, hi: 0xffff_ffff },
      evtchn_upcall_pending: 0,
    });
    markEventsPending(domain, vcpu);
    return 0;
  });
}
