/** What the processor could not do itself, as a PV guest is to see it. After do_page_fault, do_invalid_op … in xen/arch/x86/traps.c. */
import {
  FLAT_KERNEL_CS,
  FLAT_KERNEL_SS,
  FLAT_USER_CS32,
  FLAT_USER_SS32,
  RFLAGS,
  VMASST_TYPE,
} from '../../abi/arch-x86/xen-x86_64.ts';
import { Exit, Vector } from '../../cpu/exits.ts';
import { Gpr } from '../processor.ts';
import type { Bounce } from './bounce.ts';
import type { CpuidLeaf } from './cpuid-policy.ts';
import type { DebugRegisters } from './debug-registers.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { Seg } from './pv-vcpu.ts';
import { NOT_FIXED, type WritablePageTables } from './writable-page-tables.ts';

const NO_ERROR_CODE = -1;
const NULL_CS_RPL3 = 3;
/** Its gate in Xen's IDT leads straight to the guest's handler. */
const LINUX_SYSCALL = 0x80;
const CPUID_LENGTH = 2;
/** ud2; .ascii "xen"; cpuid */
const FORCED_CPUID = [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2] as const;
/** An instruction writes to no more page tables than this, one after the other. */
const MAX_STORES = 4;

export class Exits {
  readonly #pv: PvVcpu;
  readonly #bounce: Bounce;
  readonly #debug: DebugRegisters;
  readonly #ptwr: WritablePageTables;
  readonly #cpuid: (leaf: number, subleaf: number) => CpuidLeaf;

  constructor(
    pv: PvVcpu,
    bounce: Bounce,
    debug: DebugRegisters,
    ptwr: WritablePageTables,
    cpuid: (leaf: number, subleaf: number) => CpuidLeaf,
  ) {
    this.#pv = pv;
    this.#bounce = bounce;
    this.#debug = debug;
    this.#ptwr = ptwr;
    this.#cpuid = cpuid;
  }

  exception(): void {
    for (let stores = 0; stores < MAX_STORES; stores++) {
      const { cpu } = this.#pv;
      if (cpu.vector !== Vector.PF) break;
      const va = cpu.faultAddress;
      const errorCode = cpu.errorCode;
      const exit = this.#ptwr.tryStore(va, errorCode);
      this.#pv.tlb.settle();
      if (exit === NOT_FIXED) {
        this.#bounce.pageFault(va, errorCode);
        return;
      }
      // The step itself may end in another exception.
      if (exit !== Exit.Exception) return;
    }
    this.#deliver();
  }

  #deliver(): void {
    const { cpu } = this.#pv;
    const { vector } = cpu;
    switch (vector) {
      case Vector.PF:
        this.#bounce.pageFault(cpu.faultAddress, cpu.errorCode);
        return;
      case Vector.UD:
        if (this.#forcedCpuid()) return;
        break;
      case Vector.NM:
        // Delivered once: Xen clears the virtual TS itself.
        this.#bounce.exception(vector, 0);
        cpu.taskSwitched = false;
        return;
      case Vector.DB:
        this.#debug.stepped();
        break;
      default:
        break;
    }
    this.#bounce.exception(vector, cpu.errorCode);
  }

  /** RIP is after the INT. Vectors 3 and 4 are reachable without permission, and so is 0x80 when it has a handler. */
  softwareInterrupt(): void {
    const { cpu, state, vcpu, domain } = this.#pv;
    const { vector } = cpu;
    const architectural = (domain.get('vmAssist') & (1 << VMASST_TYPE.architectural_iopl)) !== 0;
    const needed = vcpu.kernelMode ? (architectural ? 0 : 1) : 3;
    const open =
      vector === Vector.BP || vector === Vector.OF || (vector === LINUX_SYSCALL && state.trapHandler(vector) !== 0);
    if (open || (state.trapFlags(vector) & 3) >= needed) {
      this.#bounce.softwareInterrupt(vector);
      return;
    }
    this.#pv.skipInstruction(-cpu.instructionLength);
    this.#bounce.exception(Vector.GP, vector * 8 + 2);
  }

  /** SYSCALL in user mode. RIP is after it. */
  syscall(): void {
    const { cpu, state } = this.#pv;
    const compat = !cpu.long64;
    const handler = state.address(compat ? 'syscall32Callback' : 'syscallCallback');
    cpu.setSelector(Seg.cs, compat ? FLAT_USER_CS32 : FLAT_KERNEL_CS);
    cpu.setSelector(Seg.ss, compat ? FLAT_USER_SS32 : FLAT_KERNEL_SS);
    const { rflags } = cpu;
    cpu.set(Gpr.rcx, cpu.rip);
    cpu.setLoHi(Gpr.r11, rflags, 0);
    if (handler === 0) {
      this.#pv.skipInstruction(-cpu.instructionLength);
      this.#bounce.exception(Vector.UD, 0);
      return;
    }
    this.#bounce.enter(handler, state.word('syscallDisablesEvents') !== 0, NO_ERROR_CODE);
    if ((rflags & RFLAGS.DF) !== 0) cpu.rflags = cpu.rflags & ~RFLAGS.DF;
  }

  /** SYSENTER saves nothing: the guest's kernel knows where its users come from. */
  sysenter(): void {
    const { cpu, state } = this.#pv;
    cpu.setSelector(Seg.cs, NULL_CS_RPL3);
    cpu.setSelector(Seg.ss, FLAT_KERNEL_SS);
    cpu.rip = 0;
    cpu.setLoHi(Gpr.rsp, 0, 0);
    const handler = state.address('sysenterCallback');
    if (handler === 0) this.#bounce.exception(Vector.GP, 0);
    else this.#bounce.enter(handler, state.word('sysenterDisablesEvents') !== 0, NO_ERROR_CODE);
  }

  cpuid(): void {
    this.#answerCpuid();
    this.#pv.skipInstruction(CPUID_LENGTH);
    this.#singleStepped();
  }

  #forcedCpuid(): boolean {
    const { vcpu, cpu } = this.#pv;
    const code = vcpu.guest.view(cpu.rip, FORCED_CPUID.length);
    if (code === undefined) return false;
    for (let i = 0; i < FORCED_CPUID.length; i++) if (code.getUint8(i) !== FORCED_CPUID[i]) return false;
    this.#answerCpuid();
    this.#pv.skipInstruction(FORCED_CPUID.length);
    this.#singleStepped();
    return true;
  }

  #answerCpuid(): void {
    const { cpu } = this.#pv;
    const [eax, ebx, ecx, edx] = this.#cpuid(cpu.lo(Gpr.rax), cpu.lo(Gpr.rcx));
    cpu.setLoHi(Gpr.rax, eax, 0);
    cpu.setLoHi(Gpr.rbx, ebx, 0);
    cpu.setLoHi(Gpr.rcx, ecx, 0);
    cpu.setLoHi(Gpr.rdx, edx, 0);
  }

  #singleStepped(): void {
    if ((this.#pv.cpu.rflags & RFLAGS.TF) === 0) return;
    this.#debug.stepped();
    this.#bounce.exception(Vector.DB, 0);
  }
}
