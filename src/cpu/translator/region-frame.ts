import type { Code, Fn, Variable } from '../wasm/code.ts';
import { I32, I64, type Origin, type V128, ValType } from '../wasm/value.ts';
import type { Services } from '../semantics.ts';
import { truncate } from '../flags.ts';
import { Mode, S } from '../state-layout.ts';
import { type KnownPage, KnownPages } from './known-pages.ts';
import { DYNAMIC, flagLocals, IN_MEMORY, type Recipe, RegionFlags } from './region-flags.ts';

const GPRS = 16;
const GPR_END = S.gpr + GPRS * 8;
const XMMS = 16;
const XMM_SLOT = 32;

/** Sets of registers: bits 0…15 are general registers, bits 16…31 vector registers. */
export const gprBit = (n: number): number => 1 << n;
export const xmmBit = (n: number): number => 1 << (GPRS + n);

/** The number of the vector register whose slot lies at an offset of the state. */
export function xmmAt(place: number): number {
  const n = (place - S.xmm) / XMM_SLOT;
  if (!Number.isInteger(n) || n < 0 || n >= XMMS) throw new Error('no slot of a vector register');
  return n;
}

/** The number of the general register whose slot lies at an offset of the state; undefined for other slots. */
export const gprAt = (place: number): number | undefined =>
  place >= S.gpr && place < GPR_END ? (place - S.gpr) >> 3 : undefined;

const inMode = (mode: number, va: I64): I64 => truncate(mode === Mode.long64 ? 64 : 32, va);

/** What is known at a point of the code that is being written. */
interface Path {
  readonly recipe: Recipe;
  /** The set of registers whose locals are newer than their slots. */
  readonly dirty: number;
  /** Bits of each register from which on all are 0. */
  readonly bits: readonly number[];
  /** What each register's value was made from. */
  readonly origins: readonly Origin[];
  readonly pages: readonly (KnownPage | undefined)[];
  /** CR0.TS was found clear. */
  readonly fpuReady: boolean;
  /** Depth of its straight-line code. */
  readonly level: number;
}

const UNKNOWN_BITS: readonly number[] = new Array<number>(GPRS).fill(64);

/**
 * The locals of a region's function: guest registers, flags, what is left of the budget. A register's slot in the state is brought up to date where the region is
 * left; the paths that leave it because of a fault do so on their own, so the others need not.
 */
export class RegionFrame {
  readonly code: Code;
  readonly vcpu: I32;
  readonly flags: RegionFlags;
  readonly services: Services;
  /** Linear address of the entry's page. */
  readonly base: I64;
  /** Host address of the active TLB set. */
  readonly tlb: I32;
  /** Instructions left before the nodes that are being executed. */
  readonly left: Variable<I32>;
  readonly #gprs: (Variable<I64> | undefined)[] = [];
  readonly #xmms: (Variable<V128> | undefined)[] = [];
  #sseSettled: { readonly local: Variable<I32>; readonly now: I32 } | undefined;
  readonly #base: Variable<I64>;
  readonly #tlb: Variable<I32>;
  #dirty = 0;
  /** Registers that were newer than their slots anywhere so far. */
  #written = 0;
  readonly #leftAt: Variable<I32>;
  readonly #leftHow: Variable<I32>;
  readonly #goToEpilogue: () => void;
  #bits: readonly number[] = UNKNOWN_BITS;
  #origins: Origin[] = [];
  /** Numbers of values so far. */
  #values = 0;
  readonly #pages: KnownPages;
  #fpuReady = false;
  #level = 0;

  /** @param goToEpilogue where `epilogue` is written */
  constructor(code: Code, services: Services, goToEpilogue: () => void) {
    this.#goToEpilogue = goToEpilogue;
    this.code = code;
    this.vcpu = code.param(ValType.i32, 0);
    this.services = services;
    const helper = (name: string): Fn => {
      const fn = services.helpers.get(name);
      if (!fn) throw new Error(`no helper ${name}`);
      return fn;
    };
    this.flags = new RegionFlags(code, this.vcpu, flagLocals(code), {
      sync: helper('syncFlags'),
      carryOf: helper('carryOf') as Fn<typeof ValType.i32>,
    });
    this.#base = code.variable(ValType.i64);
    this.#tlb = code.variable(ValType.i32);
    this.left = code.variable(ValType.i32);
    this.#leftAt = code.variable(ValType.i32);
    this.#leftHow = code.variable(ValType.i32);
    this.#pages = new KnownPages(code);
    this.base = this.#base.get;
    this.tlb = this.#tlb.get;
  }

  /** To be written in front of everything. */
  locate(): void {
    this.#base.set(this.vcpu.load64(S.pageVa));
    this.#tlb.set(this.vcpu.load32(S.tlb));
  }

  /** Fills the other locals; to be written when all that are used are known, after `locate`. */
  prologue(): void {
    const { vcpu } = this;
    this.left.set(vcpu.load32(S.budget));
    for (const [n, local] of this.#gprs.entries()) local?.set(vcpu.load64(S.gpr + n * 8));
    for (const [n, local] of this.#xmms.entries()) local?.set(vcpu.loadV128(S.xmm + n * XMM_SLOT));
    this.mxcsrChanged();
  }

  /** A linear address, given relative to the entry's page. */
  address(at: number, mode: number): I64 {
    return inMode(mode, this.base.add(at));
  }

  #gpr(n: number): Variable<I64> {
    return (this.#gprs[n] ??= this.code.lasting(ValType.i64));
  }

  readGpr(n: number): I64 {
    // What is known of the value holds here only, so the expression is a new one each time.
    const { code } = this.#gpr(n).get;
    const value = new I64(code, []);
    // In code that runs only sometimes, or again, the register may hold something else.
    if (!this.#straight) return value;
    value.origin = this.#origins[n];
    return value.within(this.#bits[n] ?? 64);
  }

  writeGpr(n: number, value: I64): void {
    this.#gpr(n).set(value);
    this.#makeDirty(gprBit(n));
    this.#origins[n] = (this.#straight ? value.origin : undefined) ?? this.#newOrigin();
    const bits = this.#straight ? value.bits : Math.max(this.#bits[n] ?? 64, value.bits);
    if (this.#bits[n] !== bits) this.#bits = this.#bits.with(n, bits);
  }

  #xmm(n: number): Variable<V128> {
    return (this.#xmms[n] ??= this.code.lasting(ValType.v128));
  }

  readXmm(n: number): V128 {
    return this.#xmm(n).get;
  }

  writeXmm(n: number, value: V128): void {
    this.#xmm(n).set(value);
    this.#makeDirty(xmmBit(n));
  }

  /** A local for what follows from MXCSR; @param now what does */
  sseSettled(now: I32): I32 {
    this.#sseSettled ??= { local: this.code.lasting(ValType.i32), now };
    return this.#sseSettled.local.get;
  }

  mxcsrChanged(): void {
    this.#sseSettled?.local.set(this.#sseSettled.now);
  }

  #newOrigin(): Origin {
    return { of: ++this.#values, offset: 0 };
  }

  /** Pages that this straight-line code has looked up; undefined in code that runs only sometimes, or again. */
  get pages(): KnownPages | undefined {
    return this.#straight ? this.#pages : undefined;
  }

  get #straight(): boolean {
    return this.code.depth === this.#level;
  }

  /** These registers may become newer than their slots before the next statement. */
  makeDirty(mask: number): void {
    for (let n = 0; n < GPRS; n++) if ((mask & gprBit(n)) !== 0) this.#gpr(n);
    for (let n = 0; n < XMMS; n++) if ((mask & xmmBit(n)) !== 0) this.#xmm(n);
    this.#makeDirty(mask);
  }

  get dirty(): number {
    return this.#dirty;
  }

  // ---- paths ----

  get path(): Path {
    return {
      recipe: this.flags.recipe,
      dirty: this.#dirty,
      bits: this.#bits,
      origins: [...this.#origins],
      pages: this.#pages.state,
      fpuReady: this.#fpuReady,
      level: this.#level,
    };
  }

  /** Goes on from what was known elsewhere, at the present depth. */
  resume(path: Omit<Path, 'level'>): void {
    this.restore({ ...path, level: this.code.depth });
  }

  /** Back to the straight-line code that was left to write a branch of it. */
  restore(path: Path): void {
    this.#dirty = path.dirty;
    this.#bits = path.bits;
    this.#origins = [...path.origins];
    this.#pages.state = path.pages;
    this.#fpuReady = path.fpuReady;
    this.#level = path.level;
    this.flags.enter(path.recipe, path.level);
  }

  /** The region's begin: the state has everything. */
  begin(): void {
    this.#anew(IN_MEMORY, 0);
  }

  /** Several paths lead here, with these registers newer than their slots. */
  merge(dirty: number): void {
    this.#anew(DYNAMIC, dirty);
  }

  #anew(recipe: Recipe, dirty: number): void {
    const origins = Array.from({ length: GPRS }, () => this.#newOrigin());
    this.resume({ recipe, dirty, bits: UNKNOWN_BITS, origins, pages: [], fpuReady: false });
  }

  /** Once on each straight line. */
  requireFpu(check: () => void): void {
    if (this.#fpuReady) return;
    check();
    if (this.#straight) this.#fpuReady = true;
  }

  // ---- leaving ----

  /** Writes registers back to their slots; they count as clean from now on. */
  flush(): void {
    this.#store(this.#dirty);
    this.#dirty = 0;
  }

  /** What every way out begins with: registers, flags and budget into the state, after so many instructions of the node. */
  spill(done: number): void {
    this.#store(this.#dirty);
    this.flags.spill();
    this.code.store32(this.vcpu, this.left.get.sub(done), S.budget);
  }

  /** Leaves where that is rare: what such paths have in common is written once, by `epilogue`. @param at as in `address`; @param how `Leaving` */
  leave(at: number, how: I32): void {
    this.flags.leave();
    this.#leftAt.set(I32.of(at));
    this.#leftHow.set(how);
    this.#goToEpilogue();
  }

  /**
   * Where `leave` leads to. Each register that the region writes anywhere is stored: a local that was not written holds what its slot has. Half of a region's code was
   * such paths when each of them stored the registers that were newer there.
   */
  epilogue(mode: number): void {
    this.#store(this.#written);
    this.flags.left();
    const rip = inMode(mode, this.base.add(this.#leftAt.get.extendS()));
    this.code.returnCall(this.services.dispatch.leaveRegion, this.vcpu, rip, this.#leftHow.get, this.left.get);
  }

  /** A helper looks at the register's slot. */
  expose(n: number): void {
    if ((this.#dirty & gprBit(n)) !== 0) this.code.store64(this.vcpu, this.#gpr(n).get, S.gpr + n * 8);
  }

  #store(registers: number): void {
    for (let n = 0; n < GPRS; n++)
      if ((registers & gprBit(n)) !== 0) this.code.store64(this.vcpu, this.#gpr(n).get, S.gpr + n * 8);
    for (let n = 0; n < XMMS; n++)
      if ((registers & xmmBit(n)) !== 0) this.code.storeV128(this.vcpu, this.#xmm(n).get, S.xmm + n * XMM_SLOT);
  }

  #makeDirty(registers: number): void {
    this.#dirty |= registers;
    this.#written |= registers;
  }
}
