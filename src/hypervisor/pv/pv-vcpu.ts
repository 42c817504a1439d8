/** A PV vCPU as its own thread sees it, and the one switch it has: kernel mode and user mode. */
import { HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START } from '../../abi/arch-x86.ts';
import { FLAT_KERNEL_CS, FLAT_KERNEL_SS } from '../../abi/arch-x86/xen-x86_64.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import type { Vaddr } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import type { CpuState, Processor } from '../processor.ts';
import type { Vcpu } from '../vcpu.ts';
import { PageTables } from './page-tables.ts';
import { PvState } from './pv-state.ts';
import { Tlb } from './tlb.ts';

/** x86 numbers of the segment registers. */
export const Seg = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

export class PvVcpu {
  readonly vcpu: Vcpu;
  readonly domain: Domain;
  readonly processor: Processor;
  readonly cpu: CpuState;
  readonly state: PvState;
  readonly tlb: Tlb;
  readonly tables: PageTables;

  constructor(vcpu: Vcpu) {
    this.vcpu = vcpu;
    this.domain = vcpu.domain;
    this.processor = vcpu.processor;
    this.cpu = vcpu.processor.state;
    this.state = new PvState(vcpu.domain, vcpu.pvAt);
    this.tlb = new Tlb(vcpu.domain, vcpu.id, vcpu.processor);
    this.tables = new PageTables(vcpu.domain, this.tlb);
  }

  /** toggle_guest_mode: the GS bases change places, and the other L4 and TLB set come into use. */
  toggleMode(): void {
    const { cpu, state } = this;
    const inactive = state.address('gsInactive');
    state.setAddress('gsInactive', cpu.gsBase);
    cpu.gsBase = inactive;
    const kernel = !this.vcpu.kernelMode;
    this.vcpu.kernelMode = kernel;
    this.processor.setSpace(kernel ? 0 : 1);
    if (!kernel && state.word('userTlbStale') !== 0) {
      state.setWord('userTlbStale', 0);
      this.tlb.setRoot(1, state.word('userCr3'));
    }
  }

  /** Runs `body` with the kernel's tables in use, whatever the mode: for what Xen reads on the kernel's behalf. */
  inKernelView<T>(body: () => T): T {
    if (this.vcpu.kernelMode) return body();
    this.processor.setSpace(0);
    try {
      return body();
    } finally {
      this.processor.setSpace(1);
    }
  }

  /** The code and stack segment that every entry into the guest's kernel begins with. */
  enterKernelSegments(): void {
    const { cpu } = this;
    cpu.setSelector(Seg.cs, FLAT_KERNEL_CS);
    cpu.setSelector(Seg.ss, FLAT_KERNEL_SS);
    cpu.long64 = true;
  }

  /** RIP past the instruction that caused the exit. */
  skipInstruction(length: number): void {
    const { cpu } = this;
    cpu.rip = cpu.long64 ? cpu.rip + length : (cpu.rip + length) >>> 0;
  }

  /** The end of a hypercall that may have asked other vCPUs to flush: waits for them. Without the domain's lock. */
  settled(result: number): number {
    this.tlb.settle();
    return result;
  }
}

/** __addr_ok: a canonical address that is not Xen's. */
export function addressOkay(va: Vaddr): boolean {
  return isCanonical(va) && !(va >= HYPERVISOR_VIRT_START && va < HYPERVISOR_VIRT_END);
}
