import type { Code, Fn } from './wasm/code.ts';
import { load64Zero } from './wasm/simd.ts';
import { F32, type F64, I32, type I64, type V128, ValType } from './wasm/value.ts';
import { checkpoint, type Dispatch, dispatchTo } from './dispatch.ts';
import { Exit, type Privileged, Vector } from './exits.ts';
import { Flags, signExtend, truncate } from './flags.ts';
import { leave } from './hooks.ts';
import { NOT_CANONICAL, type Paging } from './paging.ts';
import type { SiblingFunctions } from './siblings.ts';
import { Op, S, Tlb } from './state-layout.ts';

/** An operand as an instruction's meaning sees it: what it is and how wide, not which register. */
export interface Operand {
  /** r general register, m memory, i immediate, x XMM register, q MMX register, s segment register, t ST(i) */
  readonly kind: 'r' | 'm' | 'i' | 'x' | 'q' | 's' | 't';
  /** Width in bits; 0 when the instruction decides (memory of odd sizes). */
  readonly bits: number;
  /** Position in the form: 0, 1, 2 name the fields a, b, c of the operation. */
  readonly position: number;
}

/** What a form fixes besides its operands. */
export interface Variant {
  /** Effective operand size in bits. */
  readonly width: number;
  /** Code mode: 64, or 32 for compatibility mode. It is also the width of RIP and of the stack pointer. */
  readonly mode: 64 | 32;
  /** Address size in bits, for instructions with implicit memory operands. */
  readonly address: 64 | 32;
  readonly lock: boolean;
  readonly rep: 'none' | 'rep' | 'repne';
}

export const Gpr = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 } as const;
export const Segment = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

/** The functions that definitions call. */
export interface Services {
  readonly paging: Paging;
  readonly siblings: SiblingFunctions;
  readonly dispatch: Dispatch;
  readonly helpers: ReadonlyMap<string, Fn>;
}

/** MXCSR: rounding control, precision mask, precision flag (SDM Vol. 1, "MXCSR Control and Status Register"). */
const MXCSR_SETTLING = 0x7020;
const MXCSR_SETTLED = 0x1020;

const FIELDS = [Op.a, Op.b, Op.c] as const;

/**
 * Builds the code of one instruction form. Definitions in `isa/` speak only to this class, so the same definition serves whoever supplies the
 * primitives: here the interpreter, where operands are fields of the operation that is executed.
 *
 * Order is the author's duty: everything that can fault comes before the first change of architectural state.
 */
export class Semantics {
  readonly code: Code;
  readonly vcpu: I32;
  readonly op: I32;
  readonly flags: Flags;
  readonly width: number;
  readonly mode: 64 | 32;
  readonly addressSize: 64 | 32;
  protected lock: boolean;
  readonly rep: 'none' | 'rep' | 'repne';
  readonly paging: Paging;
  readonly #siblings: SiblingFunctions;
  readonly dispatch: Dispatch;
  readonly #helpers: ReadonlyMap<string, Fn>;
  protected ea: I64 | undefined;
  readonly #simpleAddress: boolean;
  readonly #hasMemory: boolean;
  #ended = false;
  /** The access being written is one to the stack beside a memory operand. */
  protected usesStack = false;

  constructor(
    code: Code,
    variant: Variant,
    operands: readonly Operand[],
    services: Services,
    special: { op?: I32; flags?: Flags; simpleAddress?: boolean } = {},
  ) {
    this.code = code;
    this.vcpu = code.param(ValType.i32, 0);
    this.op = special.op ?? code.param(ValType.i32, 1);
    this.flags = special.flags ?? new Flags(code, this.vcpu);
    this.width = variant.width;
    this.mode = variant.mode;
    this.addressSize = variant.address;
    this.lock = variant.lock;
    this.rep = variant.rep;
    this.paging = services.paging;
    this.#siblings = services.siblings;
    this.dispatch = services.dispatch;
    this.#helpers = services.helpers;
    this.#simpleAddress = special.simpleAddress === true;
    this.#hasMemory = operands.some((o) => o.kind === 'm');
  }

  /** Computes the address of the memory operand, if there is one: before anything that the definition does. */
  begin(): void {
    if (this.#hasMemory) this.ea = this.code.let(this.#effectiveAddress(this.#simpleAddress));
  }

  // ---- operands ----

  /** A general register, memory or immediate operand, zero-extended from its width (or `bits`). Fix it with `let` before using it twice. */
  read(o: Operand, bits: number = o.bits): I64 {
    switch (o.kind) {
      case 'r':
        return this.readRegister(this.slotOffset(o), bits);
      case 'm':
        return this.load(bits, this.address(o));
      case 'i':
        return this.op.load64(Op.imm);
      default:
        throw new Error(`read: ${o.kind} is no integer operand`);
    }
  }

  readSigned(o: Operand, bits: number = o.bits): I64 {
    return signExtend(bits, this.read(o, bits));
  }

  /** Writes a general register (32-bit writes clear the upper half) or memory. Bits of `value` above the width are ignored. */
  write(o: Operand, value: I64, bits: number = o.bits): void {
    if (o.kind === 'r') this.writeRegister(this.slotOffset(o), bits, value);
    else if (o.kind === 'm') this.store(bits, this.address(o), value);
    else throw new Error(`write: ${o.kind} is no integer destination`);
  }

  /**
   * Read-modify-write: `change` gets the old value (a local) and gives the new one; memory is checked for writing first, and with LOCK the exchange is
   * atomic. Flags are to be set after it, from the returned values. `change` must have no side effects: with LOCK it may run more than once.
   */
  modify(o: Operand, change: (old: I64) => I64): { old: I64; result: I64 } {
    if (o.kind === 'r') {
      const place = this.code.let(this.slotOffset(o));
      const old = this.let(this.readRegister(place, o.bits));
      const result = this.let(truncate(o.bits, change(old)));
      this.writeRegister(place, o.bits, result);
      return { old, result };
    }
    return this.modifyMemory(this.address(o), o.bits, change);
  }

  /** `modify` at a linear address. */
  modifyMemory(va: I64, bits: number, change: (old: I64) => I64): { old: I64; result: I64 } {
    const old = this.code.variable(ValType.i64);
    const result = this.code.variable(ValType.i64);
    const bytes = (bits / 8) as 1 | 2 | 4 | 8;
    this.writePointer(va, bytes, (host) => {
      const plain = (): void => {
        old.set(loadBits(host, bits));
        result.set(truncate(bits, change(old.get)));
        storeBits(this.code, host, bits, result.get);
      };
      if (!this.lock) return plain();
      // An access that is not aligned cannot be one WebAssembly atomic.
      this.code.if(
        host.and(bytes - 1).eqz(),
        () => {
          this.code.loop((_again, againIf) => {
            old.set(loadBits(host, bits));
            result.set(truncate(bits, change(old.get)));
            againIf(host.atomicCompareExchange(bytes, old.get, result.get).ne(old.get));
          });
        },
        () => this.locked(plain),
      );
    });
    return { old: old.get, result: result.get };
  }

  /** Done as one, among what all processors of the memory do so: for locked accesses that no atomic of WebAssembly stands for. Nothing in it may fault. */
  locked(body: () => void): void {
    if (!this.lock) return body();
    this.code.do(this.#siblings.lockBus, this.vcpu);
    body();
    this.code.do(this.#siblings.unlockBus, this.vcpu);
  }

  /** Read-modify-writes of this instruction are atomic without a LOCK prefix. */
  impliedLock(): void {
    this.lock = true;
  }

  /**
   * Host address of a register operand's slot: for accesses that no verb expresses. Who keeps registers elsewhere has to put them there first and to fetch them
   * afterwards.
   */
  slot(o: Operand): I32 {
    return this.vcpu.add(this.slotOffset(o));
  }

  /** Where a register operand's slot lies in the vCPU's state. */
  slotOffset(o: Operand): I32 {
    const field = FIELDS[o.position];
    if (field === undefined) throw new Error('no field for this operand');
    return this.op.load16U(field);
  }

  /** What the slot holds that the operation names as base, index or segment base. */
  addressPart(field: typeof Op.base | typeof Op.index | typeof Op.segment): I64 {
    return this.readRegister(this.op.load16U(field), 64);
  }

  /** The low `bits` of the slot at an offset of the state, zero-extended. */
  protected readRegister(place: I32, bits: number): I64 {
    return loadBits(this.vcpu.add(place), bits);
  }

  /** A 32-bit write clears the upper half (SDM Vol. 1, "General-Purpose Registers in 64-Bit Mode"). */
  protected writeRegister(place: I32, bits: number, value: I64): void {
    const slot = this.vcpu.add(place);
    if (bits === 32) this.code.store64(slot, truncate(32, value));
    else storeBits(this.code, slot, bits, value);
  }

  /** Linear address of the memory operand. */
  address(o: Operand): I64 {
    if (o.kind !== 'm' || !this.ea) throw new Error('not a memory operand');
    return this.ea;
  }

  /**
   * Called before a helper that looks at registers by the fields of the operation that it is given: base and index have to be in their slots. Here they always
   * are.
   */
  exposeAddress(): void {
    return;
  }

  /** The immediate, truncated to the first operand's width by the decoder. */
  immediate(): I64 {
    return this.op.load64(Op.imm);
  }

  /** The second immediate of the few instructions with two (ENTER). */
  immediate2(): I32 {
    return this.op.load32(Op.disp);
  }

  /** An implicit register. */
  gpr(n: number, bits = 64): I64 {
    return this.readRegister(I32.of(S.gpr + n * 8), bits);
  }

  setGpr(n: number, value: I64, bits = 64): void {
    this.writeRegister(I32.of(S.gpr + n * 8), bits, value);
  }

  /** AH, CH, DH, BH. */
  gprHigh8(n: number): I64 {
    return this.readRegister(I32.of(S.gpr + n * 8 + 1), 8);
  }

  setGprHigh8(n: number, value: I64): void {
    this.writeRegister(I32.of(S.gpr + n * 8 + 1), 8, value);
  }

  /** An implicit vector register. */
  xmm(n: number): V128 {
    return this.vcpu.loadV128(S.xmm + n * 32);
  }

  setXmm(n: number, value: V128): void {
    this.code.storeV128(this.vcpu, value, S.xmm + n * 32);
  }

  /** Host address of x87 slots and other state by its offset. */
  state(offset: number): I32 {
    return this.vcpu.add(offset);
  }

  /**
   * An XMM register operand, 128-bit memory operand (`aligned`: #GP unless 16-byte aligned, as for legacy SSE memory operands), or MMX register with zeros
   * above.
   */
  readV(o: Operand, aligned = false): V128 {
    if (o.kind === 'x') return this.slot(o).loadV128();
    if (o.kind === 'q') return load64Zero(this.slot(o));
    return this.loadV(this.address(o), aligned);
  }

  writeV(o: Operand, value: V128, aligned = false): void {
    if (o.kind === 'x') this.code.storeV128(this.slot(o), value);
    else this.storeV(this.address(o), value, aligned);
  }

  /** The low lane of an XMM register operand as a number. */
  readFloat(o: Operand, bits: 32 | 64): F32 | F64 {
    return bits === 32 ? this.readLane(o, 32).wrap().asF32() : this.readLane(o, 64).asF64();
  }

  /** Replaces the low lane. */
  writeFloat(o: Operand, value: F32 | F64): void {
    if (value instanceof F32) this.writeLane(o, 32, 0, value.asI32().extendU());
    else this.writeLane(o, 64, 0, value.asI64());
  }

  /** A lane (8…64 bits) of an XMM or MMX register operand, zero-extended. */
  readLane(o: Operand, bits: number, n = 0): I64 {
    return loadBits(this.slot(o), bits, (n * bits) / 8);
  }

  /** Replaces one lane; the others stay. The x87 side of an MMX register is the author's. */
  writeLane(o: Operand, bits: number, n: number, value: I64): void {
    storeBits(this.code, this.slot(o), bits, value, (n * bits) / 8);
  }

  let<T extends I64 | I32 | V128>(value: T): T {
    return this.code.let(value);
  }

  /** A helper function that a definition file registered by name. */
  helper(name: string): Fn {
    const fn = this.#helpers.get(name);
    if (!fn) throw new Error(`no helper ${name}`);
    return fn;
  }

  // ---- memory ----

  /** Loads `bits` (8…64), zero-extended; the result is a local. */
  load(bits: number, va: I64): I64 {
    return this.let(loadBits(this.readPointer(va, bits / 8), bits));
  }

  store(bits: number, va: I64, value: I64): void {
    const v = this.let(value);
    this.writePointer(va, bits / 8, (host) => storeBits(this.code, host, bits, v));
  }

  loadV(va: I64, aligned = false): V128 {
    if (aligned) this.requireAligned(va, 16);
    return this.let(this.readPointer(va, 16).loadV128());
  }

  storeV(va: I64, value: V128, aligned = false): void {
    if (aligned) this.requireAligned(va, 16);
    const v = this.let(value);
    this.writePointer(va, 16, (host) => this.code.storeV128(host, v));
  }

  requireAligned(va: I64, bytes: number): void {
    this.raiseIf(
      va
        .wrap()
        .and(bytes - 1)
        .ne(0),
      Vector.GP,
      0,
    );
  }

  /** Host address from which `bytes` (at most 512) at `va` can be read in one piece. Faults as the guest sees it. */
  readPointer(va: I64, bytes: number): I32 {
    const { code } = this;
    const at = this.let(va);
    const host = code.variable(ValType.i32);
    this.onTlb(
      Tlb.read,
      at,
      bytes,
      (found) => host.set(found),
      () => {
        host.set(code.call(this.paging.readSlow, this.vcpu, at, I32.of(bytes)));
        code.if(host.get.eqz(), () => {
          if (this.usesStack && this.ea) this.blameStack();
          this.fault();
        });
      },
    );
    return host.get;
  }

  /** `write` stores (and may load) through a host address that stands for `bytes` (at most 512) at `va`; nothing is stored when a fault is due. */
  writePointer(va: I64, bytes: number, write: (host: I32) => void): void {
    const { code } = this;
    const at = this.let(va);
    const host = code.variable(ValType.i32);
    this.onTlb(
      Tlb.write,
      at,
      bytes,
      (found) => host.set(found),
      () => {
        host.set(code.call(this.paging.writeSlow, this.vcpu, at, I32.of(bytes)));
        code.if(host.get.eqz(), () => {
          if (this.usesStack && this.ea) this.blameStack();
          this.fault();
        });
      },
    );
    write(host.get);
    const finish = (): void => code.do(this.paging.finishWrite, this.vcpu);
    if (bytes > 1) code.if(host.get.eq(this.vcpu.add(S.bounce)), finish, undefined, 'unlikely');
  }

  /** Checks that `bytes` at `va` can be written, for instructions that change state before they store. */
  probeWrite(va: I64, bytes: number, isStack = false): void {
    const host = this.let(this.code.call(this.paging.writeSlow, this.vcpu, va, I32.of(bytes)));
    this.code.if(host.eqz(), () => {
      if (isStack && this.ea) this.blameStack();
      this.fault();
    });
  }

  // ---- the stack ----

  /** The stack pointer in the mode's width. */
  stackPointer(): I64 {
    return this.gpr(Gpr.rsp, this.mode);
  }

  /** Stores below the stack pointer, then moves it: a fault leaves it as it was. */
  push(bits: number, value: I64): void {
    const v = this.let(value);
    const sp = this.let(truncate(this.mode, this.stackPointer().sub(bits / 8)));
    this.usesStack = true;
    this.store(bits, this.stackAddress(sp), v);
    this.usesStack = false;
    this.setGpr(Gpr.rsp, sp, this.mode);
  }

  /** The value on top of the stack; `moveStack` then removes it. */
  top(bits: number, offset = 0): I64 {
    this.usesStack = true;
    const value = this.load(bits, this.stackAddress(truncate(this.mode, this.stackPointer().add(offset))));
    this.usesStack = false;
    return value;
  }

  moveStack(bytes: number | I64): void {
    this.setGpr(Gpr.rsp, this.stackPointer().add(bytes), this.mode);
  }

  stackAddress(sp: I64): I64 {
    return this.mode === 64 ? sp : truncate(32, sp.add(this.vcpu.load64(S.segmentBase + Segment.ss * 8)));
  }

  // ---- control ----

  rip(): I64 {
    return this.vcpu.load64(S.pageVa).add(this.op.load64From16U(Op.off));
  }

  nextRip(): I64 {
    return truncate(this.mode, this.rip().add(this.op.load64From8U(Op.len)));
  }

  /** Target of a direct branch. */
  branchTarget(): I64 {
    return truncate(this.mode, this.vcpu.load64(S.pageVa).add(this.op.load64(Op.imm)));
  }

  /** Target of an indirect branch: one that is not canonical is refused by the branch itself. */
  branchAddress(target: I64): I64 {
    const va = this.let(target);
    this.requireCanonical(va);
    return va;
  }

  /** A target that is not canonical is refused, after what `first` may refuse. */
  requireCanonical(va: I64, first: () => void = () => undefined): void {
    if (this.mode === 32) return;
    this.code.if(va.shl(16).shrS(16).ne(va), () => {
      first();
      this.raise(Vector.GP, 0);
    });
  }

  /** Continues at a linear address; the end of the instruction. */
  jump(va: I64): void {
    this.code.returnCall(this.dispatch.jump, this.vcpu, va, this.op.load16U(Op.c));
  }

  /** Takes the direct branch: through its link when the target lies in the same page. */
  branch(): void {
    const { code } = this;
    const target = this.let(this.op.load64(Op.imm));
    code.if(target.geU(4096), () => this.jump(this.branchTarget()));
    checkpoint(code, this.vcpu, this.op.load16U(Op.c), this.vcpu.load64(S.pageVa).add(target));
    const linked = this.let(this.link());
    code.if(linked.ne(0), () => dispatchTo(code, this.dispatch.handlerType, this.vcpu, linked));
    code.returnCall(this.dispatch.linkBranch, this.vcpu, this.op);
  }

  /** The operation that a direct branch was linked to, or 0. */
  protected link(): I32 {
    return this.op.load32(Op.disp);
  }

  /** Goes on with the next operation of the block; the end of the instruction. */
  next(): void {
    const { code } = this;
    // The next operation follows in memory.
    code.returnCallIndirect(
      this.dispatch.handlerType,
      this.op.load32(Op.size + Op.handler),
      this.vcpu,
      this.op.add(Op.size),
    );
  }

  /** Raises an exception at this instruction. */
  raise(vector: number, errorCode?: number | I32): void {
    // A call, not its body: nearly every instruction raises something.
    const error = errorCode === undefined ? I32.of(-1) : I32.from(errorCode);
    this.code.returnCall(this.dispatch.raiseVector, this.vcpu, this.op, I32.of(vector), error);
  }

  setVector(vector: number | I32, errorCode?: number | I32): void {
    this.code.store32(this.vcpu, I32.from(vector), S.vector);
    this.code.store32(this.vcpu, I32.of(errorCode === undefined ? 0 : 1), S.hasErrorCode);
    this.code.store32(this.vcpu, I32.from(errorCode ?? 0), S.errorCode);
  }

  raiseIf(condition: I32, vector: number, errorCode?: number | I32): void {
    this.code.if(condition, () => this.raise(vector, errorCode), undefined, 'unlikely');
  }

  /** The code is for one place in the guest, not for all: it may be long where that is fast. */
  get inline(): boolean {
    return this.op.known !== undefined;
  }

  /** 1 while SSE rounds to nearest and inexactness is neither news (its flag is set) nor an exception (it is masked). */
  sseSettled(): I32 {
    return this.vcpu.load32(S.mxcsr).and(MXCSR_SETTLING).eq(MXCSR_SETTLED);
  }

  /** Called where MXCSR was written. */
  mxcsrChanged(): void {
    return;
  }

  /** #NM when the task-switched flag is set: the first thing every x87, MMX and SSE instruction does. */
  requireFpu(): void {
    this.raiseIf(this.vcpu.load32(S.taskSwitched), Vector.NM);
  }

  /** Leaves `run` with RIP at `rip`. */
  exit(exit: Exit, rip: I64, ...details: readonly (I32 | number)[]): void {
    details.forEach((d, i) => this.code.store32(this.vcpu, I32.from(d), S.detail + 4 * i));
    this.code.store64(this.vcpu, rip, S.rip);
    this.code.store32(this.vcpu, this.op.load8U(Op.len), S.length);
    leave(this.code, this.dispatch.handlerType, this.vcpu, this.uncounted, exit);
  }

  /** The operation whose block's instructions the budget has not been charged for, or 0. */
  protected get uncounted(): I32 {
    return this.op;
  }

  /** An instruction that CPL 3 may not execute: the hypervisor does it or refuses. */
  privileged(kind: Privileged, ...details: readonly (I32 | number)[]): void {
    this.exit(Exit.Privileged, this.rip(), kind, ...details);
    this.end();
  }

  protected get ended(): boolean {
    return this.#ended;
  }

  /** Called by the handler generator after `build`. */
  finish(): void {
    if (!this.#ended) this.next();
    this.code.unreachable();
  }

  /** Declares that the definition itself ended every path. */
  end(): void {
    this.#ended = true;
  }

  /** A non-canonical stack pointer is #SS; the operation's address is that of another operand here. */
  protected blameStack(): void {
    this.code.if(this.vcpu.load32(S.hasErrorCode).eq(NOT_CANONICAL), () => {
      this.code.store32(this.vcpu, I32.of(Vector.SS), S.vector);
      this.code.store32(this.vcpu, I32.of(1), S.hasErrorCode);
    });
  }

  /** Raises the exception that stands in the state. */
  protected fault(): void {
    this.code.returnCall(this.dispatch.raise, this.vcpu, this.op);
  }

  /** Whether an access looks into the TLB itself, without a call: the interpreter has hundreds of forms of wide and of locked instructions, which are rare. */
  protected looksUpInline(bytes: number): boolean {
    return bytes <= 8 && !this.lock;
  }

  /** Host address of the active TLB set. */
  protected tlb(): I32 {
    return this.vcpu.load32(S.tlb);
  }

  /** `hit` with the host address of `bytes` at `at`, a local, when the TLB has a tag for them; `miss` when it has not, or they lie in two pages. */
  protected onTlb(
    tag: typeof Tlb.read | typeof Tlb.write,
    at: I64,
    bytes: number,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    if (!this.looksUpInline(bytes)) return miss();
    const entry = this.let(this.#tlbEntry(at));
    const found = lastByte(at, bytes).and(~0xfffn).eq(entry.load64(tag));
    this.code.if(found, () => hit(at.wrap().add(entry.load32(Tlb.addend))), miss, 'likely');
  }

  #tlbEntry(va: I64): I32 {
    return this.tlb().add(
      va
        .wrap()
        .shrU(7)
        .and((Tlb.entries - 1) << 5),
    );
  }

  #effectiveAddress(simple: boolean): I64 {
    const { op } = this;
    const base = this.addressPart(Op.base).add(op.load64From32S(Op.disp));
    if (simple) return base;
    return base.add(this.addressPart(Op.index).shl(op.load64From8U(Op.scale))).add(this.addressPart(Op.segment));
  }
}

const lastByte = (va: I64, bytes: number): I64 => (bytes === 1 ? va : va.add(bytes - 1));

export function loadBits(host: I32, bits: number, offset = 0): I64 {
  switch (bits) {
    case 8:
      return host.load64From8U(offset);
    case 16:
      return host.load64From16U(offset);
    case 32:
      return host.load64From32U(offset);
    case 64:
      return host.load64(offset);
    default:
      throw new Error(`no integer of ${bits} bits`);
  }
}

export function storeBits(code: Code, host: I32, bits: number, value: I64, offset = 0): void {
  switch (bits) {
    case 8:
      return code.store8(host, value, offset);
    case 16:
      return code.store16(host, value, offset);
    case 32:
      return code.store32(host, value, offset);
    case 64:
      return code.store64(host, value, offset);
    default:
      throw new Error(`no integer of ${bits} bits`);
  }
}
