import { Leaving, leavingAt } from '../dispatch.ts';
import { Exit } from '../exits.ts';
import { truncate } from '../flags.ts';
import { Stored } from '../paging.ts';
import { loadBits, type Operand, Semantics, storeBits, type Variant } from '../semantics.ts';
import { Op, S, Tlb } from '../state-layout.ts';
import { laneOf, lowFloat, withLane, withLowFloat } from '../wasm/simd.ts';
import { type F32, type F64, I32, I64, type V128, ValType } from '../wasm/value.ts';
import { pageOf } from './job.ts';
import type { KnownOperation } from './known-operation.ts';
import { gprAt, type RegionFrame, xmmAt } from './region-frame.ts';

/** Where an instruction stands in its region. */
export interface Position {
  /** Address less that of the entry's page. */
  readonly at: number;
  /** Instructions before it in its node. */
  readonly before: number;
  /** Goes where its direct branch leads to; undefined when that is outside of the region. */
  readonly taken: (() => void) | undefined;
  /** Goes on after the instruction, which is its node's last; undefined for the others. */
  readonly next: (() => void) | undefined;
  /** The address that its return is expected to go to, and how to go there. */
  readonly returns: { readonly at: number; readonly go: () => void } | undefined;
}

/** The verbs of a definition inside a translated region: operands are constants, registers are locals, and the next operation is the code that follows. */
export class RegionSemantics extends Semantics {
  readonly #frame: RegionFrame;
  readonly #position: Position;
  readonly #known: KnownOperation;

  constructor(
    frame: RegionFrame,
    variant: Variant,
    operands: readonly Operand[],
    op: KnownOperation,
    position: Position,
  ) {
    super(frame.code, variant, operands, frame.services, { op, flags: frame.flags });
    this.#frame = frame;
    this.#position = position;
    this.#known = op;
  }

  // ---- registers ----

  override readRegister(place: I32, bits: number): I64 {
    const offset = known(place);
    if (offset === S.zero) return I64.of(0);
    if (offset === S.pageVa) return this.#address(pageOf(this.#position.at));
    const n = gprAt(offset);
    if (n === undefined) return super.readRegister(place, bits);
    const value = this.#frame.readGpr(n);
    // AH, CH, DH and BH are the second byte of a slot.
    return truncate(bits, (offset & 7) === 0 ? value : value.shrU(8));
  }

  protected override writeRegister(place: I32, bits: number, value: I64): void {
    const offset = known(place);
    const n = gprAt(offset);
    if (n === undefined) return super.writeRegister(place, bits, value);
    if (bits === 64) return this.#frame.writeGpr(n, value);
    const low = truncate(bits, value);
    if (bits === 32) return this.#frame.writeGpr(n, low);
    const shift = (offset & 7) * 8;
    const mask = ((1n << BigInt(bits)) - 1n) << BigInt(shift);
    this.#frame.writeGpr(n, this.#frame.readGpr(n).and(~mask).or(low.shl(shift)));
  }

  #xmmOf(o: Operand): number {
    return xmmAt(known(this.slotOffset(o)));
  }

  override slot(o: Operand): I32 {
    if (o.kind === 'r' || o.kind === 'x') throw new Error('registers have no slots here');
    return super.slot(o);
  }

  override readV(o: Operand, aligned = false): V128 {
    return o.kind === 'x' ? this.#frame.readXmm(this.#xmmOf(o)) : super.readV(o, aligned);
  }

  override writeV(o: Operand, value: V128, aligned = false): void {
    if (o.kind === 'x') this.#frame.writeXmm(this.#xmmOf(o), value);
    else super.writeV(o, value, aligned);
  }

  override xmm(n: number): V128 {
    return this.#frame.readXmm(n);
  }

  override setXmm(n: number, value: V128): void {
    this.#frame.writeXmm(n, value);
  }

  override readLane(o: Operand, bits: number, n = 0): I64 {
    return o.kind === 'x' ? laneOf(this.readV(o), bits, n) : super.readLane(o, bits, n);
  }

  override writeLane(o: Operand, bits: number, n: number, value: I64): void {
    if (o.kind === 'x') this.writeV(o, withLane(this.readV(o), bits, n, value));
    else super.writeLane(o, bits, n, value);
  }

  override readFloat(o: Operand, bits: 32 | 64): F32 | F64 {
    return o.kind === 'x' ? lowFloat(this.readV(o), bits) : super.readFloat(o, bits);
  }

  override writeFloat(o: Operand, value: F32 | F64): void {
    if (o.kind === 'x') this.writeV(o, withLowFloat(this.readV(o), value));
    else super.writeFloat(o, value);
  }

  override sseSettled(): I32 {
    return this.#frame.sseSettled(super.sseSettled());
  }

  override mxcsrChanged(): void {
    this.#frame.mxcsrChanged();
  }

  override exposeAddress(): void {
    for (const field of [Op.base, Op.index] as const) {
      const n = gprAt(known(this.op.load16U(field)));
      if (n !== undefined) this.#frame.expose(n);
    }
    // RIP as helpers take it from the operation.
    this.code.store64(this.vcpu, this.#frame.base.add(pageOf(this.#position.at)), S.pageVa);
  }

  // ---- memory ----

  protected override tlb(): I32 {
    return this.#frame.tlb;
  }

  protected override looksUpInline(): boolean {
    return true;
  }

  protected override onTlb(
    tag: typeof Tlb.read | typeof Tlb.write,
    at: I64,
    bytes: number,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    const { pages } = this.#frame;
    const { origin } = at;
    if (!pages || !origin) return super.onTlb(tag, at, bytes, hit, miss);
    const write = tag === Tlb.write;
    const beside = pages.find(origin, bytes, write);
    if (beside) return this.code.if(beside.inPage, () => hit(beside.host), miss, 'likely');
    const noted = pages.note(origin, at, bytes, write);
    super.onTlb(
      tag,
      at,
      bytes,
      (found) => {
        const host = this.let(found);
        noted.hit(host);
        hit(host);
      },
      () => {
        miss();
        noted.miss();
      },
    );
  }

  override load(bits: number, va: I64): I64 {
    const at = this.let(va);
    const value = this.code.variable(ValType.i64);
    this.onTlb(
      Tlb.read,
      at,
      bits / 8,
      (host) => value.set(loadBits(host, bits)),
      () => {
        const host = this.let(this.code.call(this.paging.readSlow, this.vcpu, at, I32.of(bits / 8)));
        this.code.if(host.eqz(), () => this.fault(), undefined, 'unlikely');
        value.set(loadBits(host, bits));
      },
    );
    return value.get.within(bits);
  }

  override store(bits: number, va: I64, value: I64): void {
    const v = this.let(value);
    this.#store(
      bits / 8,
      va,
      (host) => storeBits(this.code, host, bits, v),
      (at) => this.code.call(this.paging.storeSlow, this.vcpu, at, v, I32.of(bits / 8)),
    );
  }

  override storeV(va: I64, value: V128, aligned = false): void {
    if (aligned) this.requireAligned(va, 16);
    const v = this.let(value);
    this.#store(
      16,
      va,
      (host) => this.code.storeV128(host, v),
      (at) => this.code.call(this.paging.storeVectorSlow, this.vcpu, at, v),
    );
  }

  #store(bytes: number, va: I64, store: (host: I32) => void, slow: (at: I64) => I32): void {
    const at = this.let(va);
    this.onTlb(Tlb.write, at, bytes, store, () => {
      const stored = this.let(slow(at));
      this.code.if(stored.ne(Stored.done), () => this.#notStored(stored), undefined, 'unlikely');
    });
  }

  override writePointer(va: I64, bytes: number, write: (host: I32) => void): void {
    const at = this.let(va);
    const host = this.code.variable(ValType.i32);
    this.onTlb(
      Tlb.write,
      at,
      bytes,
      (found) => host.set(found),
      () => host.set(this.#writable(at, bytes)),
    );
    write(host.get);
  }

  override probeWrite(va: I64, bytes: number, isStack = false): void {
    this.usesStack ||= isStack;
    this.#writable(this.let(va), bytes);
    if (isStack) this.usesStack = false;
  }

  #writable(at: I64, bytes: number): I32 {
    const host = this.let(this.code.call(this.paging.writeHost, this.vcpu, at, I32.of(bytes)));
    this.code.if(host.leU(Stored.step), () => this.#notStored(host), undefined, 'unlikely');
    return host;
  }

  /** A fault, or code that would change: a single step of the interpreter does that. */
  #notStored(result: I32): void {
    this.#leave(result.mul(Exit.Step << Leaving.exit));
  }

  // ---- control ----

  override requireFpu(): void {
    this.#frame.requireFpu(() => super.requireFpu());
  }

  override rip(): I64 {
    return this.#address(this.#position.at);
  }

  override nextRip(): I64 {
    return this.#address(this.#position.at + this.#length);
  }

  override branchTarget(): I64 {
    return truncate(this.mode, this.#address(pageOf(this.#position.at)).add(this.op.load64(Op.imm)));
  }

  override branch(): void {
    const { taken } = this.#position;
    if (taken) taken();
    else this.#leaveTo(this.branchTarget());
  }

  override jump(va: I64): void {
    const { returns } = this.#position;
    if (!returns) return this.#leaveTo(va);
    const to = this.let(va);
    this.code.if(to.eq(this.#address(returns.at)), () => returns.go());
    this.#leaveTo(to);
  }

  override next(): void {
    this.#position.next?.();
  }

  /** A definition that ends every path needs nothing; another goes on in the code that follows. */
  override finish(): void {
    if (!this.ended) this.next();
  }

  override raise(vector: number, errorCode?: number | I32): void {
    const error = errorCode === undefined ? I32.of(-1) : I32.from(errorCode);
    this.code.do(this.dispatch.setVector, this.vcpu, I32.of(vector), error);
    this.#leave(I32.of(0));
  }

  /** `leave` knows by itself. */
  protected override blameStack(): void {
    return;
  }

  protected override fault(): void {
    this.#leave(I32.of(0));
  }

  /** At this instruction. */
  #leave(how: I32): void {
    const own = this.usesStack ? this.op.load8U(Op.len).or(1 << Leaving.stack) : leavingAt(this.op);
    this.#frame.leave(this.#position.at, how.or(own).or(this.#position.before << Leaving.done));
  }

  override exit(exit: Exit, rip: I64, ...details: readonly (I32 | number)[]): void {
    this.#frame.spill(this.#position.before + 1);
    super.exit(exit, rip, ...details);
  }

  protected override get uncounted(): I32 {
    return I32.of(0);
  }

  #leaveTo(va: I64): void {
    this.#frame.spill(this.#position.before + 1);
    this.code.returnCall(this.dispatch.jump, this.vcpu, va, I32.of(0));
  }

  get #length(): number {
    return known(this.#known.load8U(Op.len));
  }

  #address(at: number): I64 {
    return truncate(this.mode, this.#frame.base.add(at));
  }
}

function known(value: I32): number {
  if (value.known === undefined) throw new Error('an operand of a translated instruction is known');
  return value.known;
}
