/**
 * Time as a guest sees it: vcpu_time_info, wall clock. After xen/include/public/xen.h and xen/arch/x86/time.c.
 *
 * The guest's TSC is Xen's system time in nanoseconds: 1 GHz by definition. 2^32 × 10^9 / f must lie in [2^31, 2^32),
 * so the multiplier is 2^31 with a shift of one; it never changes, so one update at registration is enough.
 */
import { SharedInfo, VcpuInfo, VcpuTimeInfo, XEN_PVCLOCK_TSC_STABLE_BIT } from '../abi/arch-x86.ts';
import type { HostAddress } from '../abi/numbers.ts';
import type { Domain } from './domain.ts';
import type { Clock } from './host-services.ts';
import { VcpuState } from './state.ts';

export const TSC_KHZ = 1_000_000;
const TSC_TO_SYSTEM_MUL = 0x8000_0000;
const TSC_SHIFT = 1;

export interface TimeValues {
  readonly tsc_timestamp: number;
  readonly system_time: number;
  readonly tsc_to_system_mul: number;
  readonly tsc_shift: number;
  readonly flags: number;
}

export function timeValues(now: number): TimeValues {
  const time = Math.floor(now);
  return {
    tsc_timestamp: time,
    system_time: time,
    tsc_to_system_mul: TSC_TO_SYSTEM_MUL,
    tsc_shift: TSC_SHIFT,
    flags: XEN_PVCLOCK_TSC_STABLE_BIT,
  };
}

/** Writes a vcpu_time_info in place. Odd versions tell the reader to wait. */
export function writeTimeInfo(domain: Domain, at: HostAddress, now: number): void {
  const version = (at + VcpuTimeInfo.at.version) >>> 2;
  const next = (domain.u32[version] ?? 0) | 1;
  Atomics.store(domain.u32, version, next);
  VcpuTimeInfo.write(domain.view, at, timeValues(now));
  Atomics.store(domain.u32, version, (next + 1) >>> 0);
}

/** The vcpu_info that a vCPU uses now. */
export function updateTimeInfo(domain: Domain, vcpu: number, now: number): void {
  const info = domain.u32[(domain.vcpuAt(vcpu) + VcpuState.at.infoAt) >>> 2] ?? 0;
  if (info !== 0) writeTimeInfo(domain, info + VcpuInfo.at.time, now);
}

/** UTC at system time 0. */
export function updateWallClock(domain: Domain, clock: Clock): void {
  const at = domain.frameAt(domain.layout.sharedInfoMfn);
  const version = (at + SharedInfo.at.wc_version) >>> 2;
  const next = (domain.u32[version] ?? 0) | 1;
  const { seconds, nanoseconds } = clock.bootTime;
  Atomics.store(domain.u32, version, next);
  SharedInfo.write(domain.view, at, {
    wc_sec: seconds >>> 0,
    wc_sec_hi: Math.floor(seconds / 2 ** 32),
    wc_nsec: nanoseconds,
  });
  Atomics.store(domain.u32, version, (next + 1) >>> 0);
}
