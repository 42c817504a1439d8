import type { Semantics } from '../semantics.ts';
import { shuffleUnits, simd, splat } from '../wasm/simd.ts';
import { F32, F64, type I32, type I64, type V128, ValType } from '../wasm/value.ts';
import { bitsOf, type FastFormat, type Float, floatOf, formats } from './sse-format.ts';
import { any, guarded, incomparable, type Scalar } from './sse-inline.ts';
import { callHelper } from './sse-operands.ts';

/* Conversions as the translator writes them; see sse-inline.ts. */

const { i64, v128 } = ValType;
const { f32, f64 } = formats;

/** `nearest` stands for what MXCSR says: it says so while it is settled. */
export type RoundingName = 'nearest' | 'floor' | 'ceil' | 'trunc';

const unsettled = (u: Semantics): I32 => u.sseSettled().eqz();

/** An integer that is the sign extension of one of `bits`. */
export function inlineFromInteger(u: Semantics, f: FastFormat, bits: number, x: I64): Float {
  const converted = f.bits === 32 ? x.toF32S() : x.toF64S();
  if (f.bits === 64 && bits === 32) return converted;
  return guarded<Float>(
    u,
    converted,
    () => [unsettled(u)],
    () => floatOf(f, callHelper(u, `${f.name}.fromInteger`, i64, u.vcpu, x)),
  );
}

export function inlineToInteger(
  u: Semantics,
  x: Scalar,
  rounding: 'nearest' | 'trunc',
  slow: () => I64,
  bits: number,
): I64 {
  const value = u.code.let(x.value instanceof F32 ? x.value.promote() : x.value);
  const limit = F64.of(2 ** (bits - 1));
  const rounded = rounding === 'nearest' ? value.nearest() : value;
  return guarded(
    u,
    bits === 32 ? rounded.toI32S().extendU() : rounded.toI64S(),
    // What is rounded up to the limit is beyond it; doubles beside the limit of 64 bits have no fraction.
    () => [unsettled(u), (bits === 32 ? rounded : value).abs().lt(limit).eqz()],
    slow,
  );
}

/** CVTSS2SD: exact. */
export const inlineWiden = (u: Semantics, x: Scalar): Float =>
  guarded<Float>(
    u,
    promoted(x.value),
    () => incomparable(f32, x),
    () => floatOf(f64, callHelper(u, 'f64.fromSingle', i64, u.vcpu, x.bits)),
  );
const promoted = (x: Float): F64 => (x instanceof F32 ? x.promote() : x);

/** CVTSD2SS. */
export const inlineNarrow = (u: Semantics, x: Scalar): Float =>
  guarded<Float>(
    u,
    x.value instanceof F64 ? x.value.demote() : x.value,
    (r) => [unsettled(u), f64.isPlain(x.bits).eqz(), f32.isOrdinary(bitsOf(r)).eqz()],
    () => floatOf(f32, callHelper(u, 'f32.fromDouble', i64, u.vcpu, x.bits)),
  );

/** ROUNDSS and ROUNDSD. */
export function inlineRound(u: Semantics, f: FastFormat, rounding: RoundingName, x: Scalar, control: I32): Float {
  return guarded(
    u,
    x.value[rounding](),
    () => [unsettled(u), ...incomparable(f, x)],
    () => floatOf(f, callHelper(u, `${f.name}.integral`, i64, u.vcpu, x.bits, control)),
  );
}

export function inlinePackedRound(
  u: Semantics,
  f: FastFormat,
  rounding: RoundingName,
  v: V128,
  slow: () => V128,
): V128 {
  return guarded(u, simd(`${f.vector}.${rounding}`, v), () => [unsettled(u), any(f.incomparable(v))], slow);
}

/** CVTDQ2PS. */
export const inlinePackedFromInteger = (u: Semantics, v: V128): V128 =>
  guarded(
    u,
    simd('f32x4.convert_i32x4_s', v),
    () => [unsettled(u)],
    () => callHelper(u, 'f32x4.fromInteger', v128, u.vcpu, v),
  );

/** Four singles or two doubles to 32-bit integers. */
export function inlinePackedToInteger(
  u: Semantics,
  f: FastFormat,
  rounding: 'nearest' | 'trunc',
  v: V128,
  slow: () => V128,
): V128 {
  const rounded = u.let(rounding === 'nearest' ? simd(`${f.vector}.nearest`, v) : v);
  const limit = f.bits === 32 ? splat(32, 0x4f00_0000) : splat(64, 0x41e0_0000_0000_0000n);
  const inRange = simd(`${f.vector}.lt`, simd(`${f.vector}.abs`, rounded), limit);
  return guarded(
    u,
    simd(f.bits === 32 ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f64x2_s_zero', rounded),
    () => [unsettled(u), any(simd('v128.not', inRange))],
    slow,
  );
}

/** The lower two lanes of four, twice: the upper ones do not count. */
const lower = (v: V128): V128 => shuffleUnits(8, v, v, [0, 0]);

/** CVTPS2PD. */
export const inlinePackedWiden = (u: Semantics, v: V128, slow: () => V128): V128 =>
  guarded(u, simd('f64x2.promote_low_f32x4', v), () => [any(f32.incomparable(u.let(lower(v))))], slow);

/** CVTPD2PS. */
export const inlinePackedNarrow = (u: Semantics, v: V128, slow: () => V128): V128 =>
  guarded(
    u,
    simd('f32x4.demote_f64x2_zero', v),
    (r) => [unsettled(u), any(f64.denormals(v), f32.extraordinary(u.let(lower(r)), false))],
    slow,
  );
