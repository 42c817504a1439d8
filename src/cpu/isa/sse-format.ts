import { S } from '../state-layout.ts';
import type { Code } from '../wasm/code.ts';
import { lane32, lane64, reduce, simd, splat, withLane32, withLane64, ZERO } from '../wasm/simd.ts';
import { type F32, type F64, I32, type I64, type V128 } from '../wasm/value.ts';
import { Mx } from './sse-soft.ts';

/** The two formats of SSE, as the fast paths see them: numbers as WebAssembly's own, their bits in an i64 or in the lanes of a vector. */
export interface FastFormat {
  readonly name: 'f32' | 'f64';
  readonly vector: 'f32x4' | 'f64x2';
  readonly bits: 32 | 64;
  /** Bits of the fraction. */
  readonly m: 23 | 52;
  readonly lanes: 4 | 2;
  lane(v: V128, n: number): I64;
  /** A vector from its lanes' bits. */
  collect(lanes: readonly I64[]): V128;
  /** Neither denormal nor (by itself) NaN: what the fast paths can take as operand. NaNs and infinities pass. */
  isPlain(bits: I64): I32;
  allPlain(v: V128): I32;
  /** Finite, not zero, and far enough from the smallest normal number that nothing underflowed. */
  isOrdinary(bits: I64): I32;
  allOrdinary(v: V128, orZero: boolean): I32;
  isNan(bits: I64): I32;
  /** No NaN and no denormal in any lane. */
  allComparable(v: V128): I32;
}

const SINGLE = { magnitude: 0x7fff_ffff, one: 1n << 24n, infinity: 0x7f80_0000 };
const unsigned = (n: number): number => n | 0;

const f32: FastFormat = {
  name: 'f32',
  vector: 'f32x4',
  bits: 32,
  m: 23,
  lanes: 4,
  lane: (v, n) => lane32(v, n).extendU(),
  collect: (lanes) => lanes.reduce((v: V128, x, n) => withLane32(v, n, x.wrap()), ZERO),
  // Doubled, the sign is gone: 0 and normal numbers are beyond the denormals' range when 1 is taken off.
  isPlain: (x) => x.wrap().shl(1).sub(1).geU(0x00ff_ffff),
  allPlain: (v) =>
    reduce('i32x4.all_true', simd('i32x4.ge_u', simd('i32x4.sub', twice32(v), splat(32, 1)), splat(32, 0x00ff_ffff))),
  isOrdinary: (x) =>
    x
      .wrap()
      .shl(1)
      .sub(0x0200_0000)
      .ltU(unsigned(0xff00_0000 - 0x0200_0000)),
  allOrdinary(v, orZero) {
    const ordinary = simd(
      'i32x4.lt_u',
      simd('i32x4.sub', twice32(v), splat(32, 0x0200_0000)),
      splat(32, 0xff00_0000 - 0x0200_0000),
    );
    return reduce('i32x4.all_true', orZero ? simd('v128.or', ordinary, simd('i32x4.eq', twice32(v), ZERO)) : ordinary);
  },
  isNan: (x) => x.wrap().and(SINGLE.magnitude).gtU(SINGLE.infinity),
  allComparable: (v) =>
    // Normal numbers and infinities, or zero.
    reduce(
      'i32x4.all_true',
      simd(
        'v128.or',
        simd('i32x4.lt_u', simd('i32x4.sub', twice32(v), splat(32, 0x0100_0000)), splat(32, 0xff00_0001 - 0x0100_0000)),
        simd('i32x4.eq', twice32(v), ZERO),
      ),
    ),
};

const twice32 = (v: V128): V128 => simd('i32x4.shl', v, I32.of(1));
const twice64 = (v: V128): V128 => simd('i64x2.shl', v, I32.of(1));
const TOP = 1n << 63n;

/** Lanes of 64 bits have no unsigned comparison: both sides are moved by 2^63. */
const below64 = (v: V128, from: bigint, to: bigint): V128 =>
  simd('i64x2.lt_s', simd('i64x2.sub', twice64(v), splat(64, from + TOP)), splat(64, to - from - TOP));

const f64: FastFormat = {
  name: 'f64',
  vector: 'f64x2',
  bits: 64,
  m: 52,
  lanes: 2,
  lane: lane64,
  collect: (lanes) => lanes.reduce((v: V128, x, n) => withLane64(v, n, x), ZERO),
  isPlain: (x) =>
    x
      .shl(1)
      .sub(1)
      .geU((1n << 53n) - 1n),
  allPlain: (v) =>
    reduce(
      'i64x2.all_true',
      simd('i64x2.ge_s', simd('i64x2.sub', twice64(v), splat(64, 1n + TOP)), splat(64, (1n << 53n) - 1n - TOP)),
    ),
  isOrdinary: (x) =>
    x
      .shl(1)
      .sub(2n << 53n)
      .ltU((0x7ffn - 2n) << 53n),
  allOrdinary(v, orZero) {
    const ordinary = below64(v, 2n << 53n, 0x7ffn << 53n);
    return reduce('i64x2.all_true', orZero ? simd('v128.or', ordinary, simd('i64x2.eq', twice64(v), ZERO)) : ordinary);
  },
  isNan: (x) => x.shl(1).gtU(0x7ffn << 53n),
  allComparable: (v) =>
    reduce(
      'i64x2.all_true',
      simd('v128.or', below64(v, 1n << 53n, (0x7ffn << 53n) + 1n), simd('i64x2.eq', twice64(v), ZERO)),
    ),
};

export const formats = { f32, f64 } as const;
export const bothFormats: readonly FastFormat[] = [f32, f64];

export type Float = F32 | F64;
export const floatOf = (f: FastFormat, bits: I64): Float => (f.bits === 32 ? bits.wrap().asF32() : bits.asF64());
export const bitsOf = (x: Float): I64 => ('promote' in x ? x.asI32().extendU() : x.asI64());

/** Round to nearest: what WebAssembly does. */
export const roundsToNearest = (vcpu: I32): I32 =>
  vcpu
    .load32(S.mxcsr)
    .and(3 << Mx.roundingShift)
    .eqz();
/** Inexactness is neither news nor an exception. */
export const precisionSettled = (c: Code, vcpu: I32): I32 => {
  const settled = Mx.PE | (Mx.PE << Mx.masks);
  return vcpu.load32(S.mxcsr).and(settled).eq(settled);
};
