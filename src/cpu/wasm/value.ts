import { Bytes } from './bytes.ts';

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
  constructor(code: readonly number[], args: readonly Value[]) {
    this.code = code;
    this.args = args;
  }
  /** Operands first, then the operator: the order of the stack machine. */
  emit(out: Bytes): void {
    for (const arg of this.args) arg.emit(out);
    for (const byte of this.code) out.byte(byte);
  }
}

const scratch = new Bytes();

/** The bytes of one instruction with its immediates. `write` makes no other instruction meanwhile. */
export function instruction(write: (out: Bytes) => void): number[] {
  scratch.clear();
  write(scratch);
  const bytes: number[] = [];
  for (const byte of scratch.view()) bytes.push(byte);
  return bytes;
}

const memarg = (opcode: readonly number[], align: number, offset: number): number[] =>
  instruction((o) => {
    for (const byte of opcode) o.byte(byte);
    o.u32(align);
    o.u32(offset);
  });

type IntOrConst<T> = T | number | bigint;

export class I32 extends Value {
  readonly type = ValType.i32;
  /** The value of a constant: what is computed from constants at generation is not computed again by the guest's instructions. */
  known: number | undefined;
  /** Set for a sum with a constant, which a load or store takes as its offset. No address wraps around 4 GiB here. */
  sum: { readonly base: I32; readonly offset: number } | undefined;
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
  #two(op: number, other: I32 | number): I32 {
    const by = I32.from(other);
    const folded = this.known === undefined || by.known === undefined ? undefined : fold32(op, this.known, by.known);
    return folded === undefined ? new I32([op], [this, by]) : I32.of(folded);
  }
  eqz(): I32 {
    if (this.known !== undefined) return I32.of(Number(this.known === 0));
    return new I32([0x45], [this]);
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
    const result = this.#two(0x6a, other);
    if (by !== undefined && by > 0) result.sum = { base: this.sum?.base ?? this, offset: (this.sum?.offset ?? 0) + by };
    return result;
  }
  /** Base and offset of a memory access at this address. */
  located(offset: number): { readonly base: I32; readonly offset: number } {
    return this.sum ? { base: this.sum.base, offset: this.sum.offset + offset } : { base: this, offset };
  }
  sub(o: I32 | number): I32 {
    return o === 0 ? this : this.#two(0x6b, o);
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
    return this.#two(0x71, o);
  }
  or(o: I32 | number): I32 {
    return this.#two(0x72, o);
  }
  xor(o: I32 | number): I32 {
    return this.#two(0x73, o);
  }
  shl(o: I32 | number): I32 {
    return o === 0 ? this : this.#two(0x74, o);
  }
  shrS(o: I32 | number): I32 {
    return o === 0 ? this : this.#two(0x75, o);
  }
  shrU(o: I32 | number): I32 {
    return o === 0 ? this : this.#two(0x76, o);
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
    return new I64([0xad], [this]);
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
    if (this.known !== undefined) return this.known !== 0 ? yes : no;
    return copyType(yes, [0x1b], [yes, no, this]);
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
    return this.#load(I64, [0x31], 0, offset);
  }
  load64From8S(offset = 0): I64 {
    return this.#load(I64, [0x30], 0, offset);
  }
  load64From16U(offset = 0): I64 {
    return this.#load(I64, [0x33], 0, offset);
  }
  load64From16S(offset = 0): I64 {
    return this.#load(I64, [0x32], 0, offset);
  }
  load64From32U(offset = 0): I64 {
    return this.#load(I64, [0x35], 0, offset);
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

export class I64 extends Value {
  readonly type = ValType.i64;
  /** The value of a constant, as a signed number of 64 bits. */
  known: bigint | undefined;
  static of(value: number | bigint): I64 {
    const constant = new I64(
      instruction((o) => {
        o.byte(0x42);
        o.s64(BigInt(value));
      }),
      [],
    );
    constant.known = BigInt.asIntN(64, BigInt(value));
    return constant;
  }
  static from(value: IntOrConst<I64>): I64 {
    return value instanceof I64 ? value : I64.of(value);
  }
  #two(op: number, other: IntOrConst<I64>): I64 {
    const by = I64.from(other);
    const folded = this.known === undefined || by.known === undefined ? undefined : fold64(op, this.known, by.known);
    return folded === undefined ? new I64([op], [this, by]) : I64.of(folded);
  }
  #test(op: number, other: IntOrConst<I64>): I32 {
    const by = I64.from(other);
    const folded = this.known === undefined || by.known === undefined ? undefined : test64(op, this.known, by.known);
    return folded === undefined ? new I32([op], [this, by]) : I32.of(Number(folded));
  }
  eqz(): I32 {
    if (this.known !== undefined) return I32.of(Number(this.known === 0n));
    return new I32([0x50], [this]);
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
    return new I64([0x79], [this]);
  }
  ctz(): I64 {
    return new I64([0x7a], [this]);
  }
  popcnt(): I64 {
    return new I64([0x7b], [this]);
  }
  add(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    const [a, b] = [this.known, other.known];
    if (a !== undefined && b !== undefined) return I64.of(BigInt.asIntN(64, a + b));
    if (b === 0n) return this;
    return this.#two(0x7c, other);
  }
  sub(o: IntOrConst<I64>): I64 {
    return o === 0 ? this : this.#two(0x7d, o);
  }
  mul(o: IntOrConst<I64>): I64 {
    return this.#two(0x7e, o);
  }
  divS(o: IntOrConst<I64>): I64 {
    return this.#two(0x7f, o);
  }
  divU(o: IntOrConst<I64>): I64 {
    return this.#two(0x80, o);
  }
  remS(o: IntOrConst<I64>): I64 {
    return this.#two(0x81, o);
  }
  remU(o: IntOrConst<I64>): I64 {
    return this.#two(0x82, o);
  }
  and(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    const [a, b] = [this.known, other.known];
    if (a !== undefined && b !== undefined) return I64.of(BigInt.asIntN(64, a & b));
    return this.#two(0x83, other);
  }
  or(o: IntOrConst<I64>): I64 {
    return this.#two(0x84, o);
  }
  xor(o: IntOrConst<I64>): I64 {
    return this.#two(0x85, o);
  }
  shl(o: IntOrConst<I64>): I64 {
    const other = I64.from(o);
    return other.known === 0n ? this : this.#two(0x86, other);
  }
  shrS(o: IntOrConst<I64>): I64 {
    return o === 0 ? this : this.#two(0x87, o);
  }
  shrU(o: IntOrConst<I64>): I64 {
    return o === 0 ? this : this.#two(0x88, o);
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
  wrap(): I32 {
    if (this.known !== undefined) return I32.of(Number(BigInt.asIntN(32, this.known)));
    return new I32([0xa7], [this]);
  }
  extend8S(): I64 {
    return new I64([0xc2], [this]);
  }
  extend16S(): I64 {
    return new I64([0xc3], [this]);
  }
  extend32S(): I64 {
    return new I64([0xc4], [this]);
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

/** Integer instructions on constants; undefined for those that are not worth it. */
function fold32(op: number, a: number, b: number): number | undefined {
  switch (op) {
    case 0x6a:
      return a + b;
    case 0x6b:
      return a - b;
    case 0x6c:
      return Math.imul(a, b);
    case 0x71:
      return a & b;
    case 0x72:
      return a | b;
    case 0x73:
      return a ^ b;
    case 0x74:
      return a << b;
    case 0x75:
      return a >> b;
    case 0x76:
      return a >>> b;
    default: {
      // The comparisons of both widths come in the same order.
      const test = test64(op + (0x51 - 0x46), BigInt(a), BigInt(b));
      return test === undefined ? undefined : Number(test);
    }
  }
}

function fold64(op: number, a: bigint, b: bigint): bigint | undefined {
  switch (op) {
    case 0x7c:
      return a + b;
    case 0x7d:
      return a - b;
    case 0x7e:
      return a * b;
    case 0x83:
      return a & b;
    case 0x84:
      return a | b;
    case 0x85:
      return a ^ b;
    case 0x86:
      return a << (b & 63n);
    case 0x87:
      return a >> (b & 63n);
    case 0x88:
      return BigInt.asUintN(64, a) >> (b & 63n);
    default:
      return undefined;
  }
}

/** Sign extension keeps the order of unsigned numbers, so constants of 32 bits can be compared here as well. */
function test64(op: number, a: bigint, b: bigint): boolean | undefined {
  const [x, y] = [BigInt.asUintN(64, a), BigInt.asUintN(64, b)];
  switch (op) {
    case 0x51:
      return a === b;
    case 0x52:
      return a !== b;
    case 0x53:
      return a < b;
    case 0x54:
      return x < y;
    case 0x55:
      return a > b;
    case 0x56:
      return x > y;
    case 0x57:
      return a <= b;
    case 0x58:
      return x <= y;
    case 0x59:
      return a >= b;
    case 0x5a:
      return x >= y;
    default:
      return undefined;
  }
}

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
