/**
 * A processor whose guest is a generator: it makes hypercalls and touches its memory as a kernel would, and executes
 * no instruction. Every frame of the domain is mapped at `vaOf(frame)`.
 */
import { cpuRegionAt } from '../domain-memory.ts';
import { Exit } from '../../cpu/exits.ts';
import type { Mfn, Vaddr } from '../../abi/numbers.ts';
import { PAGE_SIZE, hiOf, loOf, signedOf } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { Gpr } from '../processor.ts';
import type { CpuState, Processor, ProcessorShape } from '../processor.ts';

const EXIT_REQUEST = 0;
const CODE_MASK = 64;
export const scriptShape: ProcessorShape = {
  regionSize: (frames) => Math.ceil((CODE_MASK + frames * 8) / PAGE_SIZE) * PAGE_SIZE,
  exitRequest: EXIT_REQUEST,
  codeMask: CODE_MASK,
  retired: 0,
};

/** Where Linux has its direct map. */
const DIRECT_MAP = -0x7780_0000_0000;
export const vaOf = (mfn: Mfn, offset = 0): Vaddr => DIRECT_MAP + mfn * PAGE_SIZE + offset;

/** What a guest program yields: a hypercall; it gets RAX back. `spin` runs a while without leaving the guest. */
export type Request = { readonly nr: number; readonly args: readonly number[] } | 'spin';
export type Program = Generator<Request, void, number>;

/** Where RIP is when a hypercall is handled. */
const AFTER_SYSCALL = 0x1002;
const ARGUMENTS = [Gpr.rdi, Gpr.rsi, Gpr.rdx, Gpr.r10, Gpr.r8] as const;

export class ScriptProcessor implements Processor {
  readonly state: ScriptState;
  readonly writtenFrames: Mfn[] = [];
  readonly #domain: Domain;
  readonly #exitRequest: number;
  readonly #program: Program;
  #ended = false;
  #inCall = false;

  constructor(domain: Domain, vcpu: number, program: Program) {
    this.#domain = domain;
    this.#exitRequest = (cpuRegionAt(domain.layout, vcpu) + EXIT_REQUEST) >>> 2;
    this.#program = program;
    this.state = new ScriptState();
  }

  run(budget: number): number {
    if (Atomics.load(this.#domain.i32, this.#exitRequest) !== 0) return Exit.Interrupt;
    if (this.#ended) return Exit.Budget;
    this.state.instructionsRetired += budget;
    if (this.#inCall && this.state.rip === AFTER_SYSCALL - 2) {
      // The hypercall is to be continued: the same instruction again, with the registers as they are now.
      this.state.rip = AFTER_SYSCALL;
      return Exit.Syscall;
    }
    this.state.rip = AFTER_SYSCALL;
    const next = this.#program.next(this.#inCall ? this.state.num(Gpr.rax) : 0);
    this.#inCall = false;
    if (next.done === true) this.#ended = true;
    if (next.done === true || next.value === 'spin') return Exit.Budget;
    this.#inCall = true;
    this.state.set(Gpr.rax, next.value.nr);
    ARGUMENTS.forEach((gpr, i) => this.state.set(gpr, next.value === 'spin' ? 0 : (next.value?.args[i] ?? 0)));
    return Exit.Syscall;
  }

  translate(va: Vaddr): number {
    const offset = va - DIRECT_MAP;
    const inside = offset >= 0 && offset < this.#domain.layout.totalFrames * PAGE_SIZE;
    return inside ? this.#domain.layout.framesAt + offset : 0;
  }

  frameWritten(mfn: Mfn): void {
    this.writtenFrames.push(mfn);
  }

  step(): number {
    return Exit.Budget;
  }
  stepWithWritableFrame(): number {
    return Exit.Budget;
  }
  setSpace(): void {}
  setRoot(): void {}
  flushTlb(): void {}
  codeChanged(host: number): void {
    this.frameWritten(Math.floor((host - this.#domain.layout.framesAt) / PAGE_SIZE));
  }
  yieldHeld(): void {}
  refreshTlb(): void {}
  flushPage(): void {}
  copyFromGuest(): undefined {
    return undefined;
  }
  copyToGuest(): boolean {
    return false;
  }
}

class ScriptState implements CpuState {
  readonly #lo = new Uint32Array(16);
  readonly #hi = new Uint32Array(16);
  rip = 0;
  rflags = 0x202;
  fsBase = 0;
  gsBase = 0;
  long64 = true;
  vector = 0;
  errorCode = 0;
  hasErrorCode = false;
  faultAddress = 0;
  instructionsRetired = 0;
  readonly pauses = 0;
  instructionLength = 0;
  taskSwitched = false;
  fsGsBaseEnabled = false;
  tscAux = 0;
  gdtLimit = 0;
  ldtBase = 0;
  ldtLimit = -1;

  lo(gpr: number): number {
    return this.#lo[gpr] ?? 0;
  }
  hi(gpr: number): number {
    return this.#hi[gpr] ?? 0;
  }
  num(gpr: number): number {
    return signedOf(this.lo(gpr), this.hi(gpr));
  }
  set(gpr: number, value: number): void {
    this.setLoHi(gpr, loOf(value), hiOf(value));
  }
  setLoHi(gpr: number, lo: number, hi: number): void {
    this.#lo[gpr] = lo;
    this.#hi[gpr] = hi;
  }
  selector(): number {
    return 0xe033;
  }
  setSelector(): void {}
  detail(): number {
    return 0;
  }
  setGdtPage(): void {}
  saveFpu(): void {}
  loadFpu(): void {}
}
