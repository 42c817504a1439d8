/** What a PV guest finds in its memory about the host and the domain that it goes on in: after a restore, and in a clone. */
import { CpuUserRegs, SharedInfo, VcpuGuestContext, VcpuInfo, XEN_LEGACY_MAX_VCPUS } from '../../abi/arch-x86.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { StartInfo } from '../../abi/start-info.ts';
import type { DomainControl } from '../../hypervisor/control.ts';
import { viewOf } from './records.ts';

type Arriving = Pick<DomainControl, 'frames' | 'sharedInfoMfn' | 'info'>;

/** Where the guest looks, and what it finds there. */
export interface ArrivalRings {
  readonly startInfoMfn: number;
  readonly storeMfn: number;
  readonly storePort: number;
  readonly consoleMfn: number;
  readonly consolePort: number;
}

/** A kernel that suspends has its start_info's frame in RDX of its first vCPU: the argument of its hypercall. Its context is given. */
export function startInfoOf(context: DataView): number {
  return context.getUint32(VcpuGuestContext.at.user_regs + CpuUserRegs.at.rdx, true);
}

/** Clocks, and what arch_shared_info names, are this host's; no event is pending, and all are masked until they are bound again. */
export function renewSharedInfo({ frames, sharedInfoMfn }: Arriving, saved: Uint8Array): void {
  const page = frames.view(sharedInfoMfn);
  const view = viewOf(page);
  const { at } = SharedInfo;
  for (let vcpu = 0; vcpu < XEN_LEGACY_MAX_VCPUS; vcpu++) {
    const info = at.vcpu_info + vcpu * VcpuInfo.size;
    page.set(saved.subarray(info, info + VcpuInfo.at.evtchn_pending_sel), info);
    page.set(saved.subarray(info + VcpuInfo.at.cr2, info + VcpuInfo.at.time), info + VcpuInfo.at.cr2);
    view.setBigUint64(info + VcpuInfo.at.evtchn_pending_sel, 0n, true);
  }
  page.fill(0, at.evtchn_pending, at.evtchn_mask);
  page.fill(0xff, at.evtchn_mask, at.wc_version);
  page.set(saved.subarray(at.max_pfn, SharedInfo.size), at.max_pfn);
  view.setBigUint64(at.pfn_to_mfn_frame_list_list, 0n, true);
}

export function renewStartInfo(domain: Arriving, rings: ArrivalRings): void {
  StartInfo.write(viewOf(domain.frames.view(rings.startInfoMfn)), 0, {
    nr_pages: domain.info().totPages,
    shared_info: domain.sharedInfoMfn * PAGE_SIZE,
    flags: 0,
    store_mfn: rings.storeMfn,
    store_evtchn: rings.storePort,
    console_mfn: rings.consoleMfn,
    console_evtchn: rings.consolePort,
  });
}
