import { Bytes } from './bytes.ts';
import { fold32, fold64, test64 } from './fold.ts';

/** Value types of WebAssembly (core specification, "Types"). */
export const ValType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type ValType = (typeof ValType)[keyof typeof ValType];

/**
 * A WebAssembly expression: a tree that is written out where a statement uses it. A value that is used twice is computed twice, so whoever uses one
 * again keeps it in a local first (`Code.let`).
 */
export abstract class Value {
  abstract readonly type: ValType;
  readonly code: readonly number[];
  readonly args: readonly Value[];
  /** The local that this is, if nobody assigns it again: as good as a name of its own. */
  local: number | undefined;
  constructor(code: readonly number[], args: readonly Value[]) {
    this.code = code;
    this.args = args;
  }
  /** Operands first, then the operator: the order of the stack machine. */
  emit(out: Bytes): void {
    for (let i = 0; i < this.args.length; i++) this.args[i]?.emit(out);
    out.all(this.code);
  }
}

const scratch = new Bytes();

/** The bytes of one instruction with its immediates. `write` makes no other instruction meanwhile. */
export function instruction(write: (out: Bytes) => void): number[] {
  scratch.clear();
  write(scratch);
  return scratch.toArray();
}

const memarg = (opcode: readonly number[], align: number, offset: number): number[] =>
  instruction((o) => {
    o.all(opcode);
    o.u32(align);
    o.u32(offset);
  });

type IntOrConst<T> = T | number | bigint;

export class I32 extends Value {
  readonly type = ValType.i32;
  /** The value of a constant: what is computed from constants at generation is not computed again by the guest's instructions. */
  known: number | undefined;
  /**
   * Set for a sum with a constant behind it, which a load or store takes as its offset: that does not wrap around at 4 GiB. Where the sum has to, the constant
   * comes first.
   */
  sum: { readonly base: I32; readonly offset: number } | undefined;
  /** 0 or 1 for certain. */
  isBit = false;
  static of(value: number): I32 {
    const constant = new I32(
      instruction((o) => {
        o.byte(0x41);
        o.s32(value);
      }),
      [],
    );
    constant.known = value | 0;
    return constant;
  }
  static from(value: I32 | number): I32 {
    return value instanceof I32 ? value : I32.of(value);
  }
  #two(op: number, operand: I32 | number): I32 {
    const other = I32.from(operand);
    const [a, b] = [this.known, other.known];
    const folded = a === undefined || b === undefined ? undefined : fold32(op, a, b);
    if (folded !== undefined) return I32.of(folded);
    const result = new I32([op], [this, other]);
    result.isBit = (op >= 0x46 && op <= 0x4f) || (op >= 0x71 && op <= 0x73 && isBit(this) && isBit(other));
    return result;
  }
  eqz(): I32 {
    if (this.known !== undefined) return I32.of(this.known === 0 ? 1 : 0);
    return bit(new I32([0x45], [this]));
  }
  eq(o: I32 | number): I32 {
    return this.#two(0x46, o);
  }
  ne(o: I32 | number): I32 {
    return this.#two(0x47, o);
  }
  ltS(o: I32 | number): I32 {
    return this.#two(0x48, o);
  }
  ltU(o: I32 | number): I32 {
    return this.#two(0x49, o);
  }
  gtS(o: I32 | number): I32 {
    return this.#two(0x4a, o);
  }
  gtU(o: I32 | number): I32 {
    return this.#two(0x4b, o);
  }
  leS(o: I32 | number): I32 {
    return this.#two(0x4c, o);
  }
  leU(o: I32 | number): I32 {
    return this.#two(0x4d, o);
  }
  geS(o: I32 | number): I32 {
    return this.#two(0x4e, o);
  }
  geU(o: I32 | number): I32 {
    return this.#two(0x4f, o);
  }
  clz(): I32 {
    return new I32([0x67], [this]);
  }
  ctz(): I32 {
    return new I32([0x68], [this]);
  }
  popcnt(): I32 {
    return new I32([0x69], [this]);
  }
  add(o: I32 | number): I32 {
    const other = I32.from(o);
    const by = other.known;
    if (by === 0) return this;
    if (this.known === 0) return other;
    const result = this.#two(0x6a, other);
    if (result.known !== undefined) return result;
    if (by !== undefined && by > 0) result.sum = { base: this.sum?.base ?? this, offset: (this.sum?.offset ?? 0) + by };
    return result;
  }
  /** Base and offset of a memory access at this address. */
  located(offset: number): { readonly base: I32; readonly offset: number } {
    return this.sum ? { base: this.sum.base, offset: this.sum.offset + offset } : { base: this, offset };
  }
  sub(o: I32 | number): I32 {
    const other = I32.from(o);
    return other.known === 0 ? this : this.#two(0x6b, other);
  }
  mul(o: I32 | number): I32 {
    return this.#two(0x6c, o);
  }
  divS(o: I32 | number): I32 {
    return this.#two(0x6d, o);
  }
  divU(o: I32 | number): I32 {
    return this.#two(0x6e, o);
  }
  remS(o: I32 | number): I32 {
    return this.#two(0x6f, o);
  }
  remU(o: I32 | number): I32 {
    return this.#two(0x70, o);
  }
  and(o: I32 | number): I32 {
    const other = I32.from(o);
    if (other.known === 0) return other;
    if (other.known === -1) return this;
    return this.#two(0x71, other);
  }
  or(o: I32 | number): I32 {
    const other = I32.from(o);
    if (other.known === 0) return this;
    return this.known === 0 ? other : this.#two(0x72, other);
  }
  xor(o: I32 | number): I32 {
    const other = I32.from(o);
    if (other.known === 0) return this;
    return this.known === 0 ? other : this.#two(0x73, other);
  }
  shl(o: I32 | number): I32 {
    const other = I32.from(o);
    return other.known === 0 ? this : this.#two(0x74, other);
  }
  shrS(o: I32 | number): I32 {
    const other = I32.from(o);
    return other.known === 0 ? this : this.#two(0x75, other);
  }
  shrU(o: I32 | number): I32 {
    const other = I32.from(o);
    return other.known === 0 ? this : this.#two(0x76, other);
  }
  rotl(o: I32 | number): I32 {
    return this.#two(0x77, o);
  }
  rotr(o: I32 | number): I32 {
    return this.#two(0x78, o);
  }
  not(): I32 {
    return this.xor(-1);
  }
  extend8S(): I32 {
    return new I32([0xc0], [this]);
  }
  extend16S(): I32 {
    return new I32([0xc1], [this]);
  }
  extendS(): I64 {
    if (this.known !== undefined) return I64.of(this.known);
    return new I64([0xac], [this]);
  }
  extendU(): I64 {
    if (this.known !== undefined) return I64.of(this.known >>> 0);
    return new I64([0xad], [this]).within(this.isBit ? 1 : 32);
  }
  toF32S(): F32 {
    return new F32([0xb2], [this]);
  }
  toF64S(): F64 {
    return new F64([0xb7], [this]);
  }
  toF64U(): F64 {
    return new F64([0xb8], [this]);
  }
  asF32(): F32 {
    return new F32([0xbe], [this]);
  }
  /** `this != 0 ? yes : no`; both are evaluated, unless the choice is known at generation. */
  select<T extends Value>(yes: T, no: T): T {
    if (this.known !== undefined) return this.known === 0 ? no : yes;
    const result = copyType(yes, [0x1b], [yes, no, this]);
    if (result instanceof I64 && yes instanceof I64 && no instanceof I64) result.within(Math.max(yes.bits, no.bits));
    return result;
  }

  #load<T extends Value>(
    type: new (code: readonly number[], args: readonly Value[]) => T,
    opcode: readonly number[],
    align: number,
    offset: number,
  ): T {
    const at = this.located(offset);
    return new type(memarg(opcode, align, at.offset), [at.base]);
  }
  load8U(offset = 0): I32 {
    return this.#load(I32, [0x2d], 0, offset);
  }
  load8S(offset = 0): I32 {
    return this.#load(I32, [0x2c], 0, offset);
  }
  load16U(offset = 0): I32 {
    return this.#load(I32, [0x2f], 0, offset);
  }
  load16S(offset = 0): I32 {
    return this.#load(I32, [0x2e], 0, offset);
  }
  load32(offset = 0): I32 {
    return this.#load(I32, [0x28], 0, offset);
  }
  load64(offset = 0): I64 {
    return this.#load(I64, [0x29], 0, offset);
  }
  load64From8U(offset = 0): I64 {
    return this.#load(I64, [0x31], 0, offset).within(8);
  }
  load64From8S(offset = 0): I64 {
    return this.#load(I64, [0x30], 0, offset);
  }
  load64From16U(offset = 0): I64 {
    return this.#load(I64, [0x33], 0, offset).within(16);
  }
  load64From16S(offset = 0): I64 {
    return this.#load(I64, [0x32], 0, offset);
  }
  load64From32U(offset = 0): I64 {
    return this.#load(I64, [0x35], 0, offset).within(32);
  }
  load64From32S(offset = 0): I64 {
    return this.#load(I64, [0x34], 0, offset);
  }
  loadF32(offset = 0): F32 {
    return this.#load(F32, [0x2a], 0, offset);
  }
  loadF64(offset = 0): F64 {
    return this.#load(F64, [0x2b], 0, offset);
  }
  loadV128(offset = 0): V128 {
    return this.#load(V128, [0xfd, 0x00], 0, offset);
  }
  atomicLoad8(offset = 0): I32 {
    return this.#load(I32, [0xfe, 0x12], 0, offset);
  }
  atomicLoad32(offset = 0): I32 {
    return this.#load(I32, [0xfe, 0x10], 2, offset);
  }
  atomicLoad64(offset = 0): I64 {
    return this.#load(I64, [0xfe, 0x11], 3, offset);
  }
  atomicOr64(value: I64, offset = 0): I64 {
    return new I64(memarg([0xfe, 0x34], 3, offset), [this, value]);
  }
  /** Compare-exchange of 1, 2, 4 or 8 bytes, naturally aligned (unaligned traps); operands and result as zero-extended i64. */
  atomicCompareExchange(bytes: 1 | 2 | 4 | 8, expected: I64, replacement: I64, offset = 0): I64 {
    const row = { 1: [0x4c, 0], 2: [0x4d, 1], 4: [0x4e, 2], 8: [0x49, 3] }[bytes];
    return new I64(memarg([0xfe, row[0] ?? 0], row[1] ?? 0, offset), [this, expected, replacement]);
  }
}

/** A value that has no name, by a number that nothing else has, and what was added to it. */
export interface Origin {
  readonly of: number;
  readonly offset: number;
}

/** Beyond this nobody asks how far one value is from another. */
const MAX_OFFSET = 2 ** 30;

function movedBy({ of, offset }: Origin, by: bigint): Origin | undefined {
  const sum = offset + Number(by);
  return Math.abs(sum) < MAX_OFFSET ? { of, offset: sum } : undefined;
}

export class I64 extends Value {
  readonly type = ValType.i64;
  /** The value of a constant, as a signed number of 64 bits. */
  known: bigint | undefined;
  /** Bits from here on are 0 for certain. */
  bits = 64;
  /** The value is a certain other one and so much more. */
  origin: Origin | undefined;
  within(bits: number): this {
    if (bits < this.bits) this.bits = bits;
    return this;
  }
  #moved(by: bigint | undefined, result: I64): I64 {
    if (this.origin !== undefined && by !== undefined) result.origin = movedBy(this.origin, by);
    return result;
  }
  static of(value: number | bigint): I64 {
    const known = BigInt.asIntN(64, BigInt(value));
    const small = BigInt.asIntN(32, known) === known;
    const constant = new I64(
      instruction((o) => {
        o.byte(0x42);
        if (small) o.s32(Number(known));
        else o.s64(known);
      }),
      [],
    );
    constant.known = known;
    if (known >= 0n) constant.bits = small ? Math.max(1, 32 - Math.clz32(Number(known))) : known.toString(2).length;
    return constant;
  }
  static from(value: IntOrConst<I64>): I64 {
    return value instanceof I64 ? value : I64.of(value);
  }
  #two(op: number, operand: IntOrConst<I64>): I64 {
    const other = I64.from(operand);
    const [a, b] = [this.known, other.known];
    const folded = a === undefined || b === undefined ? undefined : fold64(op, a, b);
    return folded === undefined ? new I64([op], [this, other]) : I64.of(folded);
  }
  #test(op: number, operand: IntOrConst<I64>): I32 {
    const other = I64.from(operand);
    const [a, b] = [this.known, other.known];
    const folded = a === undefined || b === undefined ? undefined : test64(op, a, b);
    if (folded !== undefined) return I32.of(Number(folded));
    // Comparisons without sign look at 32 bits when no more can be set.
    const narrow = this.bits <= 32 && other.bits <= 32 ? NARROW_TESTS.get(op) : undefined;
    if (narrow !== undefined) return bit(new I32([narrow], [this.wrap(), other.wrap()]));
    return bit(new I32([op], [this, other]));
  }
  eqz(): I32 {
    if (this.known !== undefined) return I32.of(this.known === 0n ? 1 : 0);
    return this.bits <= 32 ? this.wrap().eqz() : bit(new I32([0x50], [this]));
  }
  eq(o: IntOrConst<I64>): I32 {
    return this.#test(0x51, o);
  }
  ne(o: IntOrConst<I64>): I32 {
    return this.#test(0x52, o);
  }
  ltS(o: IntOrConst<I64>): I32 {
    return this.#test(0x53, o);
  }
  ltU(o: IntOrConst<I64>): I32 {
    return this.#test(0x54, o);
  }
  gtS(o: IntOrConst<I64>): I32 {
    return this.#test(0x55, o);
  }
  gtU(o: IntOrConst<I64>): I32 {
    return this.#test(0x56, o);
  }
  leS(o: IntOrConst<I64>): I32 {
    return this.#test(0x57, o);
  }
  leU(o: IntOrConst<I64>): I32 {
    return this.#test(0x58, o);
  }
  geS(o: IntOrConst<I64>): I32 {
    return this.#test(0x59, o);
  }
  geU(o: IntOrConst<I64>): I32 {
    return this.#test(0x5a, o);
  }
  clz(): I64 {
    return new I64([0x79], [this]).within(7);
  }
  ctz(): I64 {
    return new I64([0x7a], [this]).within(7);
  }
  popcnt(): I64 {
    return new I64([0x7b], [this]).within(7);
  }
  add(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    if (this.known === 0n) return other;
    return this.#moved(other.known, this.#two(0x7c, other));
  }
  sub(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    return this.#moved(other.known === undefined ? undefined : -other.known, this.#two(0x7d, other));
  }
  mul(o: IntOrConst<I64>): I64 {
    return this.#two(0x7e, o);
  }
  divS(o: IntOrConst<I64>): I64 {
    return new I64([0x7f], [this, I64.from(o)]);
  }
  divU(o: IntOrConst<I64>): I64 {
    return new I64([0x80], [this, I64.from(o)]).within(this.bits);
  }
  remS(o: IntOrConst<I64>): I64 {
    return new I64([0x81], [this, I64.from(o)]);
  }
  remU(o: IntOrConst<I64>): I64 {
    return new I64([0x82], [this, I64.from(o)]).within(this.bits);
  }
  and(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    const mask = other.known;
    // A mask of ones below changes nothing where no more bits can be set.
    if (mask === 0n) return other;
    if (mask !== undefined && mask > 0n && (mask & (mask + 1n)) === 0n && other.bits >= this.bits) return this;
    if (mask === -1n) return this;
    return this.#two(0x83, other).within(Math.min(this.bits, other.bits));
  }
  or(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    if (this.known === 0n) return other;
    return this.#two(0x84, other).within(Math.max(this.bits, other.bits));
  }
  xor(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    if (this.known === 0n) return other;
    return this.#two(0x85, other).within(Math.max(this.bits, other.bits));
  }
  shl(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    const result = this.#two(0x86, other);
    return other.known === undefined ? result : result.within(Math.min(64, this.bits + Number(other.known & 63n)));
  }
  shrS(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    return this.bits < 64 ? this.shrU(other) : this.#two(0x87, other);
  }
  shrU(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    if (other.known === 0n) return this;
    const by = other.known === undefined ? 0 : Number(other.known & 63n);
    return this.#two(0x88, other).within(Math.max(1, this.bits - by));
  }
  rotl(o: IntOrConst<I64>): I64 {
    return this.#two(0x89, o);
  }
  rotr(o: IntOrConst<I64>): I64 {
    return this.#two(0x8a, o);
  }
  not(): I64 {
    return this.xor(-1);
  }
  neg(): I64 {
    return I64.of(0).sub(this);
  }
  /** The low half. Sums, products and logic are computed in 32 bits then, which costs less than to cut off what came above. */
  wrap(): I32 {
    if (this.known !== undefined) return I32.of(Number(BigInt.asIntN(32, this.known)));
    const [op, ...more] = this.code;
    const [a, b] = this.args;
    if (op !== undefined && more.length === 0 && a !== undefined) {
      if ((op === 0xad || op === 0xac) && a instanceof I32) return a;
      const narrow = NARROW.get(op);
      if (narrow !== undefined && a instanceof I64 && b instanceof I64) return narrow(a.wrap(), b.wrap());
      if (op === 0x86 && a instanceof I64 && b instanceof I64 && b.known !== undefined && b.known < 32n && b.known > 0n)
        return a.wrap().shl(Number(b.known));
    }
    const result = new I32([0xa7], [this]);
    result.isBit = this.bits === 1;
    return result;
  }
  extend8S(): I64 {
    return this.bits < 8 ? this : new I64([0xc2], [this]);
  }
  extend16S(): I64 {
    return this.bits < 16 ? this : new I64([0xc3], [this]);
  }
  extend32S(): I64 {
    return this.bits < 32 ? this : this.wrap().extendS();
  }
  toF32S(): F32 {
    return new F32([0xb4], [this]);
  }
  toF64S(): F64 {
    return new F64([0xb9], [this]);
  }
  toF64U(): F64 {
    return new F64([0xba], [this]);
  }
  asF64(): F64 {
    return new F64([0xbf], [this]);
  }
}

const bit = (value: I32): I32 => {
  value.isBit = true;
  return value;
};
const isBit = (value: I32): boolean => value.isBit || value.known === 0 || value.known === 1;

/** The same on the low halves. */
const NARROW = new Map<number, (a: I32, b: I32) => I32>([
  [0x7c, (a, b) => a.add(b)],
  [0x7d, (a, b) => a.sub(b)],
  [0x7e, (a, b) => a.mul(b)],
  [0x83, (a, b) => a.and(b)],
  [0x84, (a, b) => a.or(b)],
  [0x85, (a, b) => a.xor(b)],
]);
/** i64.eq, ne, lt_u, gt_u, le_u, ge_u → i32 */
const NARROW_TESTS = new Map([
  [0x51, 0x46],
  [0x52, 0x47],
  [0x54, 0x49],
  [0x56, 0x4b],
  [0x58, 0x4d],
  [0x5a, 0x4f],
]);

export class F32 extends Value {
  readonly type = ValType.f32;
  #two(op: number, other: F32): F32 {
    return new F32([op], [this, other]);
  }
  eq(o: F32): I32 {
    return new I32([0x5b], [this, o]);
  }
  ne(o: F32): I32 {
    return new I32([0x5c], [this, o]);
  }
  lt(o: F32): I32 {
    return new I32([0x5d], [this, o]);
  }
  gt(o: F32): I32 {
    return new I32([0x5e], [this, o]);
  }
  le(o: F32): I32 {
    return new I32([0x5f], [this, o]);
  }
  ge(o: F32): I32 {
    return new I32([0x60], [this, o]);
  }
  abs(): F32 {
    return new F32([0x8b], [this]);
  }
  neg(): F32 {
    return new F32([0x8c], [this]);
  }
  ceil(): F32 {
    return new F32([0x8d], [this]);
  }
  floor(): F32 {
    return new F32([0x8e], [this]);
  }
  trunc(): F32 {
    return new F32([0x8f], [this]);
  }
  nearest(): F32 {
    return new F32([0x90], [this]);
  }
  sqrt(): F32 {
    return new F32([0x91], [this]);
  }
  add(o: F32): F32 {
    return this.#two(0x92, o);
  }
  sub(o: F32): F32 {
    return this.#two(0x93, o);
  }
  mul(o: F32): F32 {
    return this.#two(0x94, o);
  }
  div(o: F32): F32 {
    return this.#two(0x95, o);
  }
  promote(): F64 {
    return new F64([0xbb], [this]);
  }
  asI32(): I32 {
    return new I32([0xbc], [this]);
  }
}

export class F64 extends Value {
  readonly type = ValType.f64;
  static of(value: number): F64 {
    const bytes = new Uint8Array(new Float64Array([value]).buffer);
    return new F64([0x44, ...bytes], []);
  }
  #two(op: number, other: F64): F64 {
    return new F64([op], [this, other]);
  }
  eq(o: F64): I32 {
    return new I32([0x61], [this, o]);
  }
  ne(o: F64): I32 {
    return new I32([0x62], [this, o]);
  }
  lt(o: F64): I32 {
    return new I32([0x63], [this, o]);
  }
  gt(o: F64): I32 {
    return new I32([0x64], [this, o]);
  }
  le(o: F64): I32 {
    return new I32([0x65], [this, o]);
  }
  ge(o: F64): I32 {
    return new I32([0x66], [this, o]);
  }
  abs(): F64 {
    return new F64([0x99], [this]);
  }
  neg(): F64 {
    return new F64([0x9a], [this]);
  }
  ceil(): F64 {
    return new F64([0x9b], [this]);
  }
  floor(): F64 {
    return new F64([0x9c], [this]);
  }
  trunc(): F64 {
    return new F64([0x9d], [this]);
  }
  nearest(): F64 {
    return new F64([0x9e], [this]);
  }
  sqrt(): F64 {
    return new F64([0x9f], [this]);
  }
  add(o: F64): F64 {
    return this.#two(0xa0, o);
  }
  sub(o: F64): F64 {
    return this.#two(0xa1, o);
  }
  mul(o: F64): F64 {
    return this.#two(0xa2, o);
  }
  div(o: F64): F64 {
    return this.#two(0xa3, o);
  }
  demote(): F32 {
    return new F32([0xb6], [this]);
  }
  asI64(): I64 {
    return new I64([0xbd], [this]);
  }
  /** Saturating truncations: they never trap. */
  toI32S(): I32 {
    return new I32([0xfc, 0x02], [this]);
  }
  toI64S(): I64 {
    return new I64([0xfc, 0x06], [this]);
  }
  toI64U(): I64 {
    return new I64([0xfc, 0x07], [this]);
  }
}

export class V128 extends Value {
  readonly type = ValType.v128;
  static of(lo: bigint, hi: bigint): V128 {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, lo), true);
    view.setBigUint64(8, BigInt.asUintN(64, hi), true);
    return new V128([0xfd, 0x0c, ...bytes], []);
  }
  /** A SIMD instruction by its number (core specification, "Vector instructions"), with a vector as result. */
  static op(number: number, args: readonly Value[], immediates: readonly number[] = []): V128 {
    return new V128([...simdOpcode(number), ...immediates], args);
  }
}

/** The prefix 0xfd and the LEB128 of a vector instruction's number. */
export const simdOpcode = (number: number): number[] =>
  instruction((o) => {
    o.byte(0xfd);
    o.u32(number);
  });

const constructors = {
  [ValType.i32]: I32,
  [ValType.i64]: I64,
  [ValType.f32]: F32,
  [ValType.f64]: F64,
  [ValType.v128]: V128,
} as const;

type Instance<T extends ValType> = InstanceType<(typeof constructors)[T]>;
export type ValueOf<T extends ValType> = Instance<T>;

export function make<T extends ValType>(type: T, code: readonly number[], args: readonly Value[]): Instance<T> {
  return new constructors[type](code, args) as Instance<T>;
}

export function copyType<T extends Value>(like: T, code: readonly number[], args: readonly Value[]): T {
  return new constructors[like.type](code, args) as Value as T;
}

/** What is known of a value is known of a local that holds it. */
export function keepFacts(of: Value, local: Value): void {
  if (of instanceof I64 && local instanceof I64) {
    local.bits = of.bits;
    local.origin = of.origin;
  }
  if (of instanceof I32 && local instanceof I32) local.isBit = of.isBit;
}
