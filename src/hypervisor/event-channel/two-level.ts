/** The 2-level event ABI: bitmaps in shared_info. After xen/common/event_2l.c. A 64-bit guest has 64 words of 64 bits. */
import { SharedInfo, VcpuInfo } from '../../abi/arch-x86.ts';
import { EVTCHN_2L_NR_CHANNELS } from '../../abi/event-channel.ts';
import type { Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { VcpuState } from '../state.ts';
import { port as entry } from './ports.ts';
import { checkPollers, markEventsPending } from './upcall.ts';

const bitOf = (port: Port): number => 1 << (port & 31);
const wordOf = (domain: Domain, field: 'evtchn_pending' | 'evtchn_mask', port: Port): number =>
  (domain.frameAt(domain.layout.sharedInfoMfn) + SharedInfo.at[field] + (port >>> 5) * 4) >>> 2;

export function twoLevelSetPending(domain: Domain, port: Port): void {
  if (port >= EVTCHN_2L_NR_CHANNELS) return;
  const bit = bitOf(port);
  if ((Atomics.or(domain.i32, wordOf(domain, 'evtchn_pending', port), bit) & bit) !== 0) return;
  select(domain, port);
  checkPollers(domain, port);
}

/** An unmasked pending port: marks its word in the selector, and the vCPU if that was news. */
function select(domain: Domain, port: Port): void {
  if (twoLevelIsMasked(domain, port)) return;
  const vcpu = entry.vcpu(domain, port);
  const info = domain.u32[(domain.vcpuAt(vcpu) + VcpuState.at.infoAt) >>> 2] ?? 0;
  if (info === 0) return;
  const word = port >>> 6;
  const selector = (info + VcpuInfo.at.evtchn_pending_sel + (word >>> 5) * 4) >>> 2;
  const bit = 1 << (word & 31);
  if ((Atomics.or(domain.i32, selector, bit) & bit) === 0) markEventsPending(domain, vcpu);
}

export function twoLevelUnmask(domain: Domain, port: Port): void {
  if (port >= EVTCHN_2L_NR_CHANNELS) return;
  const bit = bitOf(port);
  if ((Atomics.and(domain.i32, wordOf(domain, 'evtchn_mask', port), ~bit) & bit) === 0) return;
  if (twoLevelIsPending(domain, port)) select(domain, port);
}

export function twoLevelClearPending(domain: Domain, port: Port): void {
  if (port < EVTCHN_2L_NR_CHANNELS) Atomics.and(domain.i32, wordOf(domain, 'evtchn_pending', port), ~bitOf(port));
}

export function twoLevelIsPending(domain: Domain, port: Port): boolean {
  return (
    port < EVTCHN_2L_NR_CHANNELS &&
    (Atomics.load(domain.i32, wordOf(domain, 'evtchn_pending', port)) & bitOf(port)) !== 0
  );
}

export function twoLevelIsMasked(domain: Domain, port: Port): boolean {
  return (
    port >= EVTCHN_2L_NR_CHANNELS || (Atomics.load(domain.i32, wordOf(domain, 'evtchn_mask', port)) & bitOf(port)) !== 0
  );
}
