/**
 * Privileged instructions that Xen carries out for a PV guest's kernel. After xen/arch/x86/pv/emul-priv-op.c. A row that
 * is missing, and every one in user mode unless it says otherwise, gives #GP.
 */
import { RFLAGS } from '../../abi/arch-x86/xen-x86_64.ts';
import { Errno } from '../../abi/errno.ts';
import { hiOf, loOf, signedOf } from '../../abi/numbers.ts';
import { Privileged, Vector } from '../../cpu/exits.ts';
import { Gpr } from '../processor.ts';
import type { Bounce } from './bounce.ts';
import type { DebugRegisters } from './debug-registers.ts';
import { ioAllowed, ioplOkay, readPort, writePort } from './io-ports.ts';
import type { MmuextOps } from './mmuext-op.ts';
import type { MsrValue } from './msr.ts';
import { readMsr, writeMsr } from './msr.ts';
import type { PvVcpu } from './pv-vcpu.ts';

/** What became of an instruction: done, or the exception to raise at it. */
type Outcome = typeof DONE | typeof Vector.GP | typeof Vector.UD;
const DONE = -1;

type Emulation = (op: PrivilegedOps) => Outcome;

/** CR0 with everything a 64-bit system has, without TS: PE MP ET NE WP AM PG. */
const CR0 = 0x80050033;
export const CR0_TS = 8;
/** What Xen shows of its own CR4: PAE MCE OSFXSR OSXMMEXCPT. */
const XEN_CR4 = 0x660;
/** What a guest may set: TSD, DE, FSGSBASE. */
const GUEST_CR4 = { TSD: 1 << 2, DE: 1 << 3, FSGSBASE: 1 << 16 } as const;

export class PrivilegedOps {
  readonly pv: PvVcpu;
  readonly debug: DebugRegisters;
  readonly #bounce: Bounce;
  readonly #mmuext: MmuextOps;
  readonly #fsGsBase: boolean;
  readonly value: MsrValue = { lo: 0, hi: 0 };

  constructor(
    pv: PvVcpu,
    bounce: Bounce,
    mmuext: MmuextOps,
    debug: DebugRegisters,
    features: { readonly fsGsBase: boolean },
  ) {
    this.pv = pv;
    this.debug = debug;
    this.#bounce = bounce;
    this.#mmuext = mmuext;
    this.#fsGsBase = features.fsGsBase;
  }

  /** Exit.Privileged: RIP is at the instruction. */
  emulate(): void {
    const { cpu, vcpu } = this.pv;
    const kind = cpu.detail(0);
    const row = emulations[kind];
    const length = cpu.instructionLength;
    const outcome =
      row !== undefined && (vcpu.kernelMode || row.user === true)
        ? row.run(this)
        : (undefinedToGuest[kind] ?? Vector.GP);
    if (outcome !== DONE) {
      this.#bounce.exception(outcome, 0);
      return;
    }
    this.pv.skipInstruction(length);
    if ((cpu.rflags & RFLAGS.TF) !== 0) {
      this.debug.stepped();
      this.#bounce.exception(Vector.DB, 0);
    }
  }

  // --- control registers ------------------------------------------------------------------------------------------

  get cr0(): number {
    return (CR0 | (this.pv.cpu.taskSwitched ? CR0_TS : 0)) >>> 0;
  }

  readCr(register: number): number | undefined {
    const { state } = this.pv;
    switch (register) {
      case 0:
        return this.cr0;
      case 2:
        return state.address('cr2');
      case 3:
        return state.word('cr3') * 4096;
      case 4:
        return state.word('cr4');
      default:
        return undefined;
    }
  }

  writeCr(register: number, lo: number, hi: number): boolean {
    const { state, cpu } = this.pv;
    switch (register) {
      case 0:
        // Only TS may change.
        if (hi !== 0 || ((lo ^ this.cr0) & ~CR0_TS) !== 0) return false;
        cpu.taskSwitched = (lo & CR0_TS) !== 0;
        return true;
      case 2:
        state.setAddress('cr2', signedOf(lo, hi));
        return true;
      case 3:
        return (
          this.pv.settled(this.pv.domain.locked(() => (hi === 0 ? this.#mmuext.newBase(lo >>> 12) : Errno.EINVAL))) ===
          0
        );
      case 4:
        this.setCr4(lo);
        return true;
      default:
        return false;
    }
  }

  /** Never faults: what the guest may not have is left out. */
  setCr4(value: number): void {
    const { state, cpu } = this.pv;
    const allowed = GUEST_CR4.TSD | GUEST_CR4.DE | (this.#fsGsBase ? GUEST_CR4.FSGSBASE : 0);
    const cr4 = XEN_CR4 | (value & allowed);
    state.setWord('cr4', cr4);
    cpu.fsGsBaseEnabled = (cr4 & GUEST_CR4.FSGSBASE) !== 0;
  }

  // --- model-specific registers -----------------------------------------------------------------------------------

  rdmsr(): Outcome {
    const { cpu, state, vcpu } = this.pv;
    const msr = cpu.lo(Gpr.rcx);
    if (!readMsr(this.pv, msr, this.value)) {
      // Before the guest can take a #GP it gets a zero instead.
      if (state.trapHandler(Vector.GP) !== 0) return Vector.GP;
      vcpu.glue.log(
        'guestWarning',
        `d${vcpu.domain.domid}v${vcpu.id} faking RDMSR 0x${msr.toString(16).padStart(8, '0')}`,
      );
      this.value.lo = this.value.hi = 0;
    }
    cpu.setLoHi(Gpr.rax, this.value.lo, 0);
    cpu.setLoHi(Gpr.rdx, this.value.hi, 0);
    return DONE;
  }

  wrmsr(): Outcome {
    const { cpu } = this.pv;
    return writeMsr(this.pv, cpu.lo(Gpr.rcx), cpu.lo(Gpr.rax), cpu.lo(Gpr.rdx)) ? DONE : Vector.GP;
  }

  // --- ports ------------------------------------------------------------------------------------------------------

  in(): Outcome {
    const { cpu } = this.pv;
    const bytes = cpu.detail(1) >>> 3;
    const port = cpu.detail(2) & 0xffff;
    if (!ioAllowed(this.pv, port, bytes)) return Vector.GP;
    const value = readPort(this.pv, port, bytes);
    // A 32-bit result clears the upper half, shorter ones keep the rest (SDM Vol. 1, "General-Purpose Registers in 64-Bit Mode").
    if (bytes === 4) cpu.setLoHi(Gpr.rax, value, 0);
    else {
      const mask = bytes === 1 ? 0xff : 0xffff;
      cpu.setLoHi(Gpr.rax, ((cpu.lo(Gpr.rax) & ~mask) | (value & mask)) >>> 0, cpu.hi(Gpr.rax));
    }
    return DONE;
  }

  out(): Outcome {
    const { cpu } = this.pv;
    const bytes = cpu.detail(1) >>> 3;
    const port = cpu.detail(2) & 0xffff;
    if (!ioAllowed(this.pv, port, bytes)) return Vector.GP;
    writePort(this.pv, port, bytes, cpu.lo(Gpr.rax));
    return DONE;
  }
}

const done =
  (act: (op: PrivilegedOps) => void) =>
  (op: PrivilegedOps): Outcome => {
    act(op);
    return DONE;
  };

/** CLI and STI do nothing when the guest's I/O privilege lets them: masking for real could not be undone by POPF, which never traps. */
const interruptFlag: Emulation = (op) => (ioplOkay(op.pv) ? DONE : Vector.GP);

const emulations: Readonly<Record<number, { readonly run: Emulation; readonly user?: true }>> = {
  [Privileged.in]: { run: (op) => op.in(), user: true },
  [Privileged.out]: { run: (op) => op.out(), user: true },
  [Privileged.cli]: { run: interruptFlag, user: true },
  [Privileged.sti]: { run: interruptFlag, user: true },
  [Privileged.rdmsr]: { run: (op) => op.rdmsr() },
  [Privileged.wrmsr]: { run: (op) => op.wrmsr() },
  [Privileged.clts]: {
    run: done((op) => {
      op.pv.cpu.taskSwitched = false;
    }),
  },
  [Privileged.wbinvd]: { run: () => DONE },
  [Privileged.movFromCr]: {
    run(op) {
      const value = op.readCr(op.pv.cpu.detail(2));
      if (value === undefined) return Vector.UD;
      op.pv.cpu.setLoHi(op.pv.cpu.detail(1), loOf(value), hiOf(value));
      return DONE;
    },
  },
  [Privileged.movToCr]: {
    run(op) {
      const { cpu } = op.pv;
      return op.writeCr(cpu.detail(2), cpu.lo(cpu.detail(1)), cpu.hi(cpu.detail(1))) ? DONE : Vector.GP;
    },
  },
  [Privileged.movFromDr]: {
    run(op) {
      const value = op.debug.get(op.pv.cpu.detail(2));
      if (value === undefined) return Vector.UD;
      op.pv.cpu.setLoHi(op.pv.cpu.detail(1), loOf(value), hiOf(value));
      return DONE;
    },
  },
  [Privileged.movToDr]: {
    run(op) {
      const { cpu } = op.pv;
      const error = op.debug.set(cpu.detail(2), cpu.lo(cpu.detail(1)), cpu.hi(cpu.detail(1)));
      return error === 0 ? DONE : error === Errno.ENODEV ? Vector.UD : Vector.GP;
    },
  },
};

/** Instructions that do not exist for a PV guest at all: what they belong to is not advertised. */
const undefinedToGuest: Readonly<Record<number, Outcome>> = {
  [Privileged.clac]: Vector.UD,
  [Privileged.stac]: Vector.UD,
  [Privileged.monitor]: Vector.UD,
  [Privileged.mwait]: Vector.UD,
  [Privileged.vmcall]: Vector.UD,
  [Privileged.vmmcall]: Vector.UD,
  [Privileged.xsetbv]: Vector.UD,
};
