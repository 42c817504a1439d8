import { Vector } from '../exits.ts';
import type { Helper } from '../instruction-set.ts';
import { loadBits, type Operand, type Semantics, storeBits } from '../semantics.ts';
import { S } from '../state-layout.ts';
import type { Fn } from '../wasm/code.ts';
import { lane32, lane64, load32Zero, load64Zero } from '../wasm/simd.ts';
import { I32, type I64, type V128, ValType, type ValueOf } from '../wasm/value.ts';

/** Exception summary in the x87 status word: an unmasked exception is pending. */
const X87_ES = 1 << 7;

/** What every MMX and SSE instruction does first: #NM, and #MF for those that touch MMX registers (SDM Vol. 2A, exception tables of MMX). */
export function begin(u: Semantics, ...operands: readonly Operand[]): void {
  u.requireFpu();
  if (operands.some((o) => o.kind === 'q')) requireNoPendingX87(u);
}

export function requireNoPendingX87(u: Semantics): void {
  u.raiseIf(u.vcpu.load32(S.x87Status).and(X87_ES), Vector.MF);
}

/** The transition to MMX state: TOP is 0 and no register is empty (SDM Vol. 1, "MMX Instructions and the x87 FPU Tag Word"). After the last fault. */
export function enterMmx(u: Semantics): void {
  u.code.store32(u.vcpu, I32.of(0), S.x87Top);
  u.code.store32(u.vcpu, I32.of(0xff), S.x87Tags);
}

/** Writes an MMX register, which is the transition to MMX state: the exponent and sign of its x87 register become ones. */
export function writeMmx(u: Semantics, o: Operand, value: I64): void {
  u.code.do(u.helper('writeMmx'), u.vcpu, u.slot(o), value);
}

/** (vcpu, slot, value): a function of its own, to keep the many MMX forms small. */
export const mmxHelpers: readonly Helper[] = [
  {
    name: 'writeMmx',
    define: (m) =>
      m.function('writeMmx', [ValType.i32, ValType.i32, ValType.i64], undefined, (c) => {
        const [vcpu, slot] = [c.param(ValType.i32, 0), c.param(ValType.i32, 1)];
        c.store32(vcpu, I32.of(0), S.x87Top);
        c.store32(vcpu, I32.of(0xff), S.x87Tags);
        c.store64(slot, c.param(ValType.i64, 2));
        c.store16(slot, I32.of(0xffff), 8);
      }),
  },
];

/** A vector operand: an XMM register or aligned 16 bytes, or 8 bytes (MMX, or a narrower memory operand) with zeros above; a local when in memory. */
export function readVector(u: Semantics, o: Operand): V128 {
  switch (o.kind) {
    case 'x':
    case 'q':
      return u.readV(o);
    case 'm':
      if (o.bits === 128) return u.readV(o, true);
      if (o.bits === 64) return u.let(load64Zero(u.readPointer(u.address(o), 8)));
      return u.let(load32Zero(u.readPointer(u.address(o), 4)));
    default:
      throw new Error(`${o.kind} is no vector operand`);
  }
}

/** Writes an XMM register, or the low half to an MMX register. */
export function writeVector(u: Semantics, o: Operand, value: V128): void {
  if (o.kind === 'x') u.writeV(o, value);
  else writeMmx(u, o, lane64(value, 0));
}

/** The low bits of a register of any kind, or memory of that width; zero-extended. */
export function readLow(u: Semantics, o: Operand, bits: 32 | 64): I64 {
  if (o.kind === 'x' || o.kind === 'q') return u.readLane(o, bits);
  return u.read(o, bits);
}

/** Replaces the low 32 or 64 bits of an XMM register. */
export function writeLow(u: Semantics, o: Operand, bits: 32 | 64, value: I64): void {
  u.writeLane(o, bits, 0, value);
}

const laneAddress = (u: Semantics, o: Operand, bits: Lane, n: I32): I32 => u.slot(o).add(n.shl(Math.log2(bits / 8)));
type Lane = 8 | 16 | 32 | 64;

/** A lane whose number comes from the immediate: known to the translator, not to the interpreter. */
export function readLaneAt(u: Semantics, o: Operand, bits: Lane, n: I32): I64 {
  return n.known === undefined ? loadBits(laneAddress(u, o, bits, n), bits) : u.readLane(o, bits, n.known);
}

export function writeLaneAt(u: Semantics, o: Operand, bits: Lane, n: I32, value: I64): void {
  if (n.known === undefined) storeBits(u.code, laneAddress(u, o, bits, n), bits, value);
  else u.writeLane(o, bits, n.known, value);
}

export const low32 = (v: V128): I32 => lane32(v, 0);
export const low64 = (v: V128): I64 => lane64(v, 0);

/** The immediate of a shuffle or predicate. */
export const imm8 = (u: Semantics): I32 => u.immediate().wrap().and(0xff);

/** A helper with its result type known. */
export function typed<T extends ValType>(fn: Fn, result: T): Fn<T> {
  if (fn.result !== result) throw new Error('the helper has another result');
  return { index: fn.index, params: fn.params, result };
}

/** Calls a helper by name, once, here. */
export function callHelper<T extends typeof ValType.i32 | typeof ValType.i64 | typeof ValType.v128>(
  u: Semantics,
  name: string,
  result: T,
  ...args: readonly (I32 | I64 | V128)[]
): ValueOf<T> {
  return u.code.let(u.code.call(typed(u.helper(name), result), ...args));
}
