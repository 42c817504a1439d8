/** Virtual interrupts. After xen/include/public/xen.h (VIRQ_*). */
import type { Domain } from '../domain.ts';
import { DomainState, VcpuState } from '../state.ts';
import { raisePort } from './raise.ts';

export const NR_VIRQS = 24;
export const VIRQ_TIMER = 0;
export const VIRQ_DEBUG = 1;
export const VIRQ_CONSOLE = 2;
export const VIRQ_DOM_EXC = 3;
export const VIRQ_TBUF = 4;
export const VIRQ_DEBUGGER = 6;
export const VIRQ_XENOPROF = 7;
export const VIRQ_CON_RING = 8;
export const VIRQ_PCPU_STATE = 9;
export const VIRQ_MEM_EVENT = 10;
export const VIRQ_ARGO = 11;
export const VIRQ_ENOMEM = 12;
export const VIRQ_XENPMU = 13;

/** Bound per vCPU; the others are global and belong to vCPU 0 until moved. */
const perVcpu: ReadonlySet<number> = new Set([VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]);
export const isPerVcpuVirq = (virq: number): boolean => perVcpu.has(virq);

/** Index in u32 of the word that holds the port bound to a VIRQ. */
export function virqSlot(domain: Domain, vcpu: number, virq: number): number {
  const base = isPerVcpuVirq(virq) ? domain.vcpuAt(vcpu) + VcpuState.at.virqs : domain.at + DomainState.at.virqs;
  return (base + virq * 4) >>> 2;
}

/** From any thread: the VIRQ happens for a vCPU; nothing happens when the guest has not bound it. */
export function raiseVcpuVirq(domain: Domain, vcpu: number, virq: number): void {
  const port = domain.u32[virqSlot(domain, vcpu, virq)] ?? 0;
  if (port !== 0) domain.locked(() => raisePort(domain, port));
}
