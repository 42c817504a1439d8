/**
 * Hypercalls are rows of a table: number, name, arguments, support, handler. Dispatch, the answer for what is missing
 * and the published support page come from it. Refused numbers have rows too.
 */
import { Errno } from '../abi/errno.ts';
import { signedOf, unsignedOf } from '../abi/numbers.ts';
import type { Struct, ValueOf } from '../abi/struct.ts';
import { Gpr } from './processor.ts';
import type { Vcpu } from './vcpu.ts';

export type Support =
  | { readonly level: 'full' }
  | { readonly level: 'partial'; readonly missing: string }
  | { readonly level: 'none'; readonly why: string; readonly errno: Errno };

export const full: Support = { level: 'full' };
export const partial = (missing: string): Support => ({ level: 'partial', missing });
/** Refused; the guest gets -ENOSYS unless another number is known to be Xen's. */
export const none = (why: string, errno: Errno = Errno.ENOSYS): Support => ({ level: 'none', why, errno });

/** The arguments of one hypercall: RDI, RSI, RDX, R10, R8, R9, or a multicall entry's. */
export class HypercallArguments {
  readonly lo = new Uint32Array(6);
  readonly hi = new Uint32Array(6);
  /** They came from the registers, so that the hypercall can be continued; false in a multicall. */
  direct = false;

  /** As a signed number: an address, a frame number, a count. Inexact beyond 2^53, where every check refuses it. */
  num(i: number): number {
    return signedOf(this.lo[i] ?? 0, this.hi[i] ?? 0);
  }

  unsigned(i: number): number {
    return unsignedOf(this.lo[i] ?? 0, this.hi[i] ?? 0);
  }

  /** As C's `unsigned int`: the upper half is ignored. */
  u32(i: number): number {
    return this.lo[i] ?? 0;
  }

  fromRegisters(vcpu: Vcpu): void {
    this.direct = true;
    const { state } = vcpu.processor;
    for (let i = 0; i < ARGUMENT_REGISTERS.length; i++) {
      const gpr = ARGUMENT_REGISTERS[i] ?? 0;
      this.lo[i] = state.lo(gpr);
      this.hi[i] = state.hi(gpr);
    }
  }
}

const ARGUMENT_REGISTERS = [Gpr.rdi, Gpr.rsi, Gpr.rdx, Gpr.r10, Gpr.r8, Gpr.r9] as const;

export interface HypercallRow {
  readonly nr: number;
  readonly name: string;
  /** What the registers hold, for traces and the support page. */
  readonly args: readonly string[];
  readonly support: Support;
  /** Absent in refused rows. Returns the guest's RAX, or `noResult`. */
  readonly run?: (vcpu: Vcpu, args: HypercallArguments) => number;
}

/** The handler has set all registers itself, RAX included (iret). */
export const noResult = -(2 ** 52);

const SYSCALL_LENGTH = 2;

/**
 * hypercall_create_continuation: the vCPU will execute the same `syscall` again, with other arguments. For hypercalls
 * that may take long, when `vcpu.exitRequested`; the guest does not notice.
 */
export function continueLater(vcpu: Vcpu, nr: number, ...args: readonly number[]): typeof noResult {
  const { state } = vcpu.processor;
  state.rip -= SYSCALL_LENGTH;
  state.set(Gpr.rax, nr);
  args.forEach((value, i) => state.set(ARGUMENT_REGISTERS[i] ?? 0, value));
  return noResult;
}

/** A row of a hypercall whose first argument is a command and whose second points to a structure. */
export interface OpRow {
  readonly nr: number;
  readonly support: Support;
  readonly run?: (vcpu: Vcpu, va: number, args: HypercallArguments) => number;
}
export type OpTable = Readonly<Record<string, OpRow>>;

type Out<F> = number | Parameters<Struct<F>['write']>[2];

/**
 * An operation with a structure argument: it is copied in once, and an object that the handler returns is copied out.
 * A number is the result as it is.
 */
export function op<F>(row: {
  readonly nr: number;
  readonly arg: Struct<F>;
  readonly support: Support;
  readonly run: (vcpu: Vcpu, arg: ValueOf<Struct<F>>) => Out<F>;
}): OpRow {
  const { nr, arg, support, run } = row;
  return {
    nr,
    support,
    run(vcpu, va) {
      const value = vcpu.guest.read(arg, va);
      if (value === undefined) return Errno.EFAULT;
      const result = run(vcpu, value);
      if (typeof result === 'number') return result;
      return vcpu.guest.write(arg, va, result) ? 0 : Errno.EFAULT;
    },
  };
}

/** An operation that reads its argument itself. */
export function rawOp(row: Required<OpRow>): OpRow {
  return row;
}

export function refusedOp(nr: number, support: Support): OpRow {
  return { nr, support };
}

/** Dispatch over an operation table, for `run` of the hypercall's row. */
export function dispatchOps(table: OpTable): (vcpu: Vcpu, cmd: number, va: number, args: HypercallArguments) => number {
  const byNumber: (OpRow | undefined)[] = [];
  for (const row of Object.values(table)) {
    if (byNumber[row.nr] !== undefined) throw new Error(`operation ${row.nr} has two rows`);
    byNumber[row.nr] = row;
  }
  return (vcpu, cmd, va, args) => {
    const row = cmd < byNumber.length ? byNumber[cmd] : undefined;
    if (row === undefined) return Errno.ENOSYS;
    if (row.run !== undefined) return row.run(vcpu, va, args);
    return row.support.level === 'none' ? row.support.errno : Errno.ENOSYS;
  };
}

/** All rows, by number: what a vCPU's loop calls. */
export class HypercallTable {
  readonly rows: readonly HypercallRow[];
  readonly #byNumber: (HypercallRow | undefined)[] = [];
  readonly #args = new HypercallArguments();

  constructor(rows: readonly HypercallRow[]) {
    this.rows = [...rows].sort((a, b) => a.nr - b.nr);
    for (const row of rows) {
      const other = this.#byNumber[row.nr];
      if (other !== undefined) throw new Error(`hypercall ${row.nr} has two rows: ${other.name} and ${row.name}`);
      this.#byNumber[row.nr] = row;
    }
  }

  /** The hypercall of a PV guest: `syscall` in kernel mode, RAX the number. Sets RAX. */
  fromSyscall(vcpu: Vcpu): void {
    const { state } = vcpu.processor;
    this.#args.fromRegisters(vcpu);
    const number = state.lo(Gpr.rax);
    const rip = state.rip;
    const flags = state.rflags;
    const result = state.hi(Gpr.rax) === 0 ? this.call(vcpu, number, this.#args) : Errno.ENOSYS;
    if (result === noResult) return;
    state.set(Gpr.rax, result);
    // SYSCALL leaves the return address in RCX and the flags in R11 (SDM Vol. 2B, "SYSCALL"); guests rely on neither.
    state.set(Gpr.rcx, rip);
    state.setLoHi(Gpr.r11, flags, 0);
  }

  call(vcpu: Vcpu, number: number, args: HypercallArguments): number {
    const row = number < this.#byNumber.length ? this.#byNumber[number] : undefined;
    if (row === undefined) return Errno.ENOSYS;
    if (row.run !== undefined) return row.run(vcpu, args);
    return row.support.level === 'none' ? row.support.errno : Errno.ENOSYS;
  }
}
