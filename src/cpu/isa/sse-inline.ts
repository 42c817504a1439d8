import type { Operand, Semantics } from '../semantics.ts';
import { lowFloat, reduce, simd, splat, splatFloat } from '../wasm/simd.ts';
import { F32, F64, type I32, type I64, V128, type Value, ValType } from '../wasm/value.ts';
import { settle } from './sse-exceptions.ts';
import { bitsOf, type FastFormat, type Float, floatOf } from './sse-format.ts';
import { callHelper, readLow } from './sse-operands.ts';

/*
 * What the translator writes in the place of a call: WebAssembly's own arithmetic, then the conditions under which it gave the right result and MXCSR stays as
 * it is. When one of them does not hold, the helper that the interpreter calls does it all again.
 */

const { i64, v128 } = ValType;

export type Arithmetic = 'add' | 'sub' | 'mul' | 'div' | 'sqrt';
export type Extreme = 'min' | 'max';

/** A number with its bits; both can be used twice. */
export interface Scalar {
  readonly value: Float;
  readonly bits: I64;
}

/** The low lane of a register, or memory. */
export function readScalar(u: Semantics, f: FastFormat, o: Operand): Scalar {
  if (o.kind === 'x') {
    const value = u.code.let(u.readFloat(o, f.bits));
    return { value, bits: bitsOf(value) };
  }
  const bits = u.let(readLow(u, o, f.bits));
  return { value: u.code.let(floatOf(f, bits)), bits };
}

/** `fast`, unless one of the conditions holds that `fails` makes of it: then `slow`, with MXCSR's flags and #XM after it. */
export function guarded<T extends Value>(
  u: Semantics,
  fast: T,
  fails: (result: T) => readonly I32[],
  slow: () => T,
): T {
  const result = u.code.copy(fast);
  u.code.attempt(
    (failIf) => fails(result.get).forEach(failIf),
    () => {
      result.set(slow());
      settle(u);
      u.mxcsrChanged();
    },
  );
  return result.get;
}

const apply = (op: Arithmetic, a: Float, b: Float): Float => {
  if (op === 'sqrt') return a.sqrt();
  if (a instanceof F64 && b instanceof F64) return a[op](b);
  if (a instanceof F32 && b instanceof F32) return a[op](b);
  throw new Error('mixed formats');
};

/** Not equal to itself. */
export const isNan = (x: Float): I32 => {
  if (x instanceof F64) return x.ne(x);
  return x.ne(x);
};

/** Neither NaN nor denormal: order depends on the values alone, and no flag on anything. */
export const incomparable = (f: FastFormat, x: Scalar): readonly I32[] => [f.isPlain(x.bits).eqz(), isNan(x.value)];

export function inlineScalar(u: Semantics, f: FastFormat, op: Arithmetic, ...operands: readonly Scalar[]): Float {
  const [a, b = a] = operands;
  if (!a || !b) throw new Error('no operand');
  return guarded(
    u,
    apply(op, a.value, b.value),
    (r) => [u.sseSettled().eqz(), ...operands.map((x) => f.isPlain(x.bits).eqz()), f.isOrdinary(bitsOf(r)).eqz()],
    () => floatOf(f, callHelper(u, `${f.name}.${op}`, i64, u.vcpu, ...operands.map((x) => x.bits))),
  );
}

/** `pmin(b, a)` is a < b ? a : b. */
const extreme = (f: FastFormat, name: Extreme, a: V128, b: V128): V128 => simd(`${f.vector}.p${name}`, b, a);

export function inlineExtreme(u: Semantics, f: FastFormat, name: Extreme, a: Scalar, b: Scalar): Float {
  return guarded(
    u,
    lowFloat(extreme(f, name, splatFloat(a.value), splatFloat(b.value)), f.bits),
    () => [...incomparable(f, a), ...incomparable(f, b)],
    () => floatOf(f, callHelper(u, `${f.name}.${name}`, i64, u.vcpu, a.bits, b.bits)),
  );
}

/** Some lane of some mask is set. */
export const any = (...masks: readonly V128[]): I32 =>
  reduce(
    'v128.any_true',
    masks.reduce((x, y) => simd('v128.or', x, y)),
  );

/** Signs of the even lanes. */
const EVEN_SIGNS = { f32: splat(64, 1n << 31n), f64: V128.of(1n << 63n, 0n) } as const;

const applyPacked = (f: FastFormat, op: Arithmetic | 'addsub', a: V128, b: V128): V128 => {
  if (op === 'sqrt') return simd(`${f.vector}.sqrt`, a);
  return op === 'addsub'
    ? simd(`${f.vector}.add`, a, simd('v128.xor', b, EVEN_SIGNS[f.name]))
    : simd(`${f.vector}.${op}`, a, b);
};

/** Operands are locals. */
export function inlinePacked(
  u: Semantics,
  f: FastFormat,
  op: Arithmetic | 'addsub',
  ...operands: readonly V128[]
): V128 {
  const [a, b = a] = operands;
  if (!a || !b) throw new Error('no operand');
  const orZero = op === 'add' || op === 'sub' || op === 'addsub';
  return guarded(
    u,
    applyPacked(f, op, a, b),
    (r) => [u.sseSettled().eqz(), any(...operands.map((v) => f.denormals(v)), f.extraordinary(r, orZero))],
    () => callHelper(u, `${f.vector}.${op}`, v128, u.vcpu, ...operands),
  );
}

export function inlinePackedExtreme(u: Semantics, f: FastFormat, name: Extreme, a: V128, b: V128): V128 {
  return guarded(
    u,
    extreme(f, name, a, b),
    () => [any(f.incomparable(a), f.incomparable(b))],
    () => callHelper(u, `${f.vector}.${name}`, v128, u.vcpu, a, b),
  );
}

/** CMPPS and its kin: predicates EQ LT LE UNORD and their opposites (SDM Vol. 2A, "CMPPD"). Of comparable numbers none is unordered. */
function comparePacked(f: FastFormat, predicate: number, a: V128, b: V128): V128 {
  const kind = predicate & 3;
  const holds =
    kind === 3 ? simd('v128.xor', a, a) : simd(`${f.vector}.${(['eq', 'lt', 'le'] as const)[kind] ?? 'eq'}`, a, b);
  return (predicate & 4) === 0 ? holds : simd('v128.not', holds);
}

export function inlinePredicate(u: Semantics, f: FastFormat, predicate: I32, a: V128, b: V128): V128 {
  return guarded(
    u,
    comparePacked(f, predicate.known ?? 0, a, b),
    () => [any(f.incomparable(a), f.incomparable(b))],
    () => callHelper(u, `${f.vector}.predicate`, v128, u.vcpu, a, b, predicate),
  );
}

export function inlineScalarPredicate(u: Semantics, f: FastFormat, predicate: I32, a: Scalar, b: Scalar): Float {
  return guarded(
    u,
    lowFloat(comparePacked(f, predicate.known ?? 0, splatFloat(a.value), splatFloat(b.value)), f.bits),
    () => [...incomparable(f, a), ...incomparable(f, b)],
    () => floatOf(f, callHelper(u, `${f.name}.predicate`, i64, u.vcpu, a.bits, b.bits, predicate)),
  );
}
