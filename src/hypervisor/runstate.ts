/** Runstates: what a vCPU was doing, and since when. After xen/include/public/vcpu.h (vcpu_runstate_info). */
import { array, s32, struct, u64 } from '../abi/struct.ts';
import { hiOf, loOf } from '../abi/numbers.ts';
import type { Domain } from './domain.ts';
import { VcpuState } from './state.ts';
import type { Vcpu } from './vcpu.ts';

export const Runstate = { running: 0, runnable: 1, blocked: 2, offline: 3 } as const;
export type Runstate = (typeof Runstate)[keyof typeof Runstate];

export const VcpuRunstateInfo = struct(
  'vcpu_runstate_info',
  { state: s32, state_entry_time: u64, time: array(u64, 4) },
  48,
);

/** High half of XEN_RUNSTATE_UPDATE (bit 63 of state_entry_time). */
const UPDATE_HI = 0x8000_0000;
const VMASST_TYPE_runstate_update_flag = 5;

/** Accounts the time since the last change; a no-op when the state is the same. */
export function enterRunstate(vcpu: Vcpu, next: Runstate): void {
  if (vcpu.get('runstate') === next) return;
  setRunstate(vcpu.domain, vcpu.id, next, vcpu.now());
  if (next === Runstate.running) updateRunstateArea(vcpu);
}

/** Time begins for a domain's vCPUs: nobody has brought them up yet. */
export function initialiseRunstates(domain: Domain, now: number): void {
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    const at = domain.vcpuAt(vcpu);
    domain.f64[(at + VcpuState.at.runstateSince) >>> 3] = now;
    domain.u32[(at + VcpuState.at.runstate) >>> 2] = Runstate.offline;
  }
}

/** From the thread that owns the vCPU, or when it has none. */
export function setRunstate(domain: Domain, vcpu: number, next: Runstate, now: number): void {
  const at = domain.vcpuAt(vcpu);
  const { f64, u32 } = domain;
  const previous = u32[(at + VcpuState.at.runstate) >>> 2] ?? 0;
  const since = (at + VcpuState.at.runstateSince) >>> 3;
  const slot = (at + VcpuState.at.runstateTime + previous * 8) >>> 3;
  f64[slot] = (f64[slot] ?? 0) + Math.max(0, now - (f64[since] ?? 0));
  f64[since] = now;
  u32[(at + VcpuState.at.runstate) >>> 2] = next;
}

export interface RunstateTimes {
  readonly state: number;
  readonly since: number;
  /** Nanoseconds in each state, the current one counted to now. */
  readonly times: readonly number[];
}

/** From any thread: what the vCPU at `vcpuAt` has done so far. */
export function runstateOf(words: Uint32Array, doubles: Float64Array, vcpuAt: number, now: number): RunstateTimes {
  const state = words[(vcpuAt + VcpuState.at.runstate) >>> 2] ?? 0;
  const since = doubles[(vcpuAt + VcpuState.at.runstateSince) >>> 3] ?? 0;
  const times = Array.from({ length: 4 }, (_, i) => {
    const time = doubles[(vcpuAt + VcpuState.at.runstateTime + i * 8) >>> 3] ?? 0;
    return i === state ? time + Math.max(0, now - since) : time;
  });
  return { state, since, times };
}

/** Writes the guest's copy, with the update flag around it when the guest asked for that. */
export function updateRunstateArea(vcpu: Vcpu): void {
  const va = vcpu.getDouble('runstateVa');
  if (va === 0) return;
  // The area is the kernel's; a vCPU that was interrupted in user mode has other tables in use.
  if (vcpu.kernelMode) writeRunstateArea(vcpu, va);
  else {
    vcpu.processor.setSpace(0);
    writeRunstateArea(vcpu, va);
    vcpu.processor.setSpace(1);
  }
}

function writeRunstateArea(vcpu: Vcpu, va: number): void {
  const { domain } = vcpu;
  const { state, since, times } = runstateOf(domain.u32, domain.f64, vcpu.at, vcpu.now());
  const flagged = (domain.get('vmAssist') & (1 << VMASST_TYPE_runstate_update_flag)) !== 0;
  const entryAt = va + VcpuRunstateInfo.at.state_entry_time;
  if (flagged && !vcpu.guest.writeU64(entryAt, loOf(since), (hiOf(since) | UPDATE_HI) >>> 0)) return;
  vcpu.guest.write(VcpuRunstateInfo, va, { state, time: [...times], ...(flagged ? {} : { state_entry_time: since }) });
  if (flagged) vcpu.guest.writeU64(entryAt, loOf(since), hiOf(since));
}
