/** HYPERVISOR_memory_op, number 12. After xen/include/public/memory.h, xen/common/memory.c and xen/arch/x86/mm.c. */
import { MACH2PHYS_VIRT_END, MACH2PHYS_VIRT_START, SharedInfo } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import {
  E820Entry,
  E820_RAM,
  MEMOP_EXTENT_SHIFT,
  XenDomainId,
  XenMachphysMapping,
  XenMachphysMfnList,
  XenMemoryMap,
  XenMemoryReservation,
} from '../../abi/memory.ts';
import type { DomId, Vaddr } from '../../abi/numbers.ts';
import { PAGE_SIZE, hiOf, loOf } from '../../abi/numbers.ts';
import type { ValueOf } from '../../abi/struct.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { HypercallArguments, HypercallRow, OpTable } from '../hypercall.ts';
import { continueLater, dispatchOps, full, none, op, rawOp, refusedOp } from '../hypercall.ts';
import { NO_PFN, populateExtent, removeExtent } from '../reservation.ts';
import type { Vcpu } from '../vcpu.ts';

/** Entries of the M2P that Xen tells of: 1 GiB of them, so a PV guest's frame numbers stay below 2^27. */
const M2P_MAX_MFN = 0x7ff_ffff;
const controlDomain = none('for the control domain', Errno.EPERM);
const translated = none('for guests with a translated physmap', Errno.EINVAL);

export const memoryOps = {
  increase_reservation: rawOp({ nr: 0, support: full, run: (vcpu, va, args) => extents(vcpu, va, args, increase) }),
  decrease_reservation: rawOp({ nr: 1, support: full, run: (vcpu, va, args) => extents(vcpu, va, args, decrease) }),
  maximum_ram_page: rawOp({ nr: 2, support: full, run: (vcpu) => vcpu.domain.layout.totalFrames - 1 }),
  current_reservation: op({
    nr: 3,
    arg: XenDomainId,
    support: full,
    run: (vcpu, a) => own(vcpu, a.domid, () => vcpu.domain.get('totPages')),
  }),
  maximum_reservation: op({
    nr: 4,
    arg: XenDomainId,
    support: full,
    run: (vcpu, a) => own(vcpu, a.domid, () => vcpu.domain.get('maxPages')),
  }),
  machphys_mfn_list: op({ nr: 5, arg: XenMachphysMfnList, support: full, run: () => ({ nr_extents: 0 }) }),
  populate_physmap: rawOp({ nr: 6, support: full, run: (vcpu, va, args) => extents(vcpu, va, args, populate) }),
  add_to_physmap: refusedOp(7, translated),
  translate_gpfn_list: refusedOp(8, none('removed from Xen')),
  memory_map: op({
    nr: 9,
    arg: XenMemoryMap,
    support: full,
    run: (vcpu, a) => memoryMap(vcpu, a.nr_entries, a.buffer),
  }),
  machine_memory_map: refusedOp(10, controlDomain),
  exchange: refusedOp(11, none('contiguous machine memory is needed for real devices only')),
  machphys_mapping: op({
    nr: 12,
    arg: XenMachphysMapping,
    support: full,
    run: () => ({ v_start: MACH2PHYS_VIRT_START, v_end: MACH2PHYS_VIRT_END, max_mfn: M2P_MAX_MFN }),
  }),
  set_memory_map: refusedOp(13, none('the toolstack sets the map when it creates the domain', Errno.EPERM)),
  maximum_gpfn: op({
    nr: 14,
    arg: XenDomainId,
    support: full,
    run: (vcpu, a) => own(vcpu, a.domid, () => maximumGpfn(vcpu)),
  }),
  remove_from_physmap: refusedOp(15, translated),
  set_pod_target: refusedOp(16, controlDomain),
  get_pod_target: refusedOp(17, controlDomain),
  get_sharing_freed_pages: rawOp({ nr: 18, support: full, run: () => 0 }),
  get_sharing_shared_pages: rawOp({ nr: 19, support: full, run: () => 0 }),
  paging_op: refusedOp(20, controlDomain),
  access_op: refusedOp(21, controlDomain),
  sharing_op: refusedOp(22, controlDomain),
  add_to_physmap_batch: refusedOp(23, translated),
  claim_pages: refusedOp(24, controlDomain),
  reserved_device_memory_map: refusedOp(27, none('no devices are passed through', Errno.EOPNOTSUPP)),
  acquire_resource: refusedOp(28, controlDomain),
  get_vnumainfo: refusedOp(26, none('no virtual NUMA layout', Errno.EOPNOTSUPP)),
} satisfies OpTable;

const dispatch = dispatchOps(memoryOps);
const COMMAND_MASK = (1 << MEMOP_EXTENT_SHIFT) - 1;

export const memoryOpRow: HypercallRow = {
  nr: 12,
  name: 'memory_op',
  args: ['cmd', 'arg'],
  support: full,
  run: (vcpu, args) => dispatch(vcpu, args.u32(0) & COMMAND_MASK, args.num(1), args),
};

/** Extents between two looks at whether somebody waits. */
const PREEMPT_CHECK = 64;

function own(vcpu: Vcpu, domid: DomId, value: () => number): number {
  return domid === DOMID_SELF || domid === vcpu.domain.domid ? value() : Errno.EPERM;
}

type Reservation = ValueOf<typeof XenMemoryReservation>;

/** One extent; false ends the operation. Under the domain's lock. */
type ExtentStep = (vcpu: Vcpu, at: Vaddr, frame: number, order: number) => boolean;

/** The operations on lists of extents return how many they did; a command continued has its start above bit 6. */
function extents(vcpu: Vcpu, va: Vaddr, args: HypercallArguments, step: ExtentStep): number {
  const { domain } = vcpu;
  const start = args.u32(0) >>> MEMOP_EXTENT_SHIFT;
  const r: Reservation | undefined = vcpu.guest.read(XenMemoryReservation, va);
  if (r === undefined) return start;
  if (start >= r.nr_extents) return start;
  if (r.domid !== DOMID_SELF && r.domid !== domain.domid) return start === 0 ? Errno.EPERM : start;
  if (!vcpu.guest.allowed(r.extent_start, r.nr_extents * 8)) return start;
  let done = start;
  // More than the domain can hold cannot be done in one call: a list as long as the address space ends here.
  const end = Math.min(r.nr_extents, start + domain.layout.maxPages);
  for (; done < end && !domain.dying; done++) {
    if (args.direct && done > start && done % PREEMPT_CHECK === 0 && vcpu.exitRequested) {
      const cmd = (args.u32(0) & COMMAND_MASK) | (done << MEMOP_EXTENT_SHIFT);
      return continueLater(vcpu, memoryOpRow.nr, cmd, va);
    }
    const at = r.extent_start + done * 8;
    const frame = vcpu.guest.readU64(at);
    if (frame === undefined) break;
    domain.lock();
    try {
      if (!step(vcpu, at, frame, r.extent_order)) break;
    } finally {
      domain.unlock();
    }
  }
  return done;
}

function populate(vcpu: Vcpu, at: Vaddr, pfn: number, order: number): boolean {
  const mfn = populateExtent(vcpu.domain, vcpu.platform.kind, vcpu.glue, pfn, order);
  if (mfn === undefined) return false;
  return vcpu.guest.writeU64(at, loOf(mfn), hiOf(mfn));
}

/** As populate_physmap, but the guest says by MMU_MACHPHYS_UPDATE where it puts the frames. */
function increase(vcpu: Vcpu, at: Vaddr, _frame: number, order: number): boolean {
  return populate(vcpu, at, NO_PFN, order);
}

function decrease(vcpu: Vcpu, _at: Vaddr, mfn: number, order: number): boolean {
  return removeExtent(vcpu.domain, vcpu.platform.kind, vcpu.glue, mfn, order);
}

/** What libxl sets for a PV guest without `e820_host`: one range of RAM as long as maxmem. */
function memoryMap(vcpu: Vcpu, room: number, buffer: Vaddr): number | { nr_entries: number } {
  if (room === 0) return { nr_entries: 0 };
  const written = vcpu.guest.write(E820Entry, buffer, {
    addr: 0,
    size: vcpu.domain.get('mapPages') * PAGE_SIZE,
    type: E820_RAM,
  });
  return written ? { nr_entries: 1 } : Errno.EFAULT;
}

/** For a PV guest the highest frame that it says it has (shared_info.arch.max_pfn). */
function maximumGpfn(vcpu: Vcpu): number {
  const { domain } = vcpu;
  const at = domain.frameAt(domain.layout.sharedInfoMfn) + SharedInfo.at.max_pfn;
  const max = domain.view.getUint32(at, true);
  return (max === 0 ? 1 : max) - 1;
}
