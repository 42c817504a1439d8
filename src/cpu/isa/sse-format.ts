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
  /** Finite, not zero, and far enough from the smallest normal number that nothing underflowed. */
  isOrdinary(bits: I64): I32;
  isNan(bits: I64): I32;
  /** Masks of lanes: those that are not plain, not ordinary (nor, if so wished, zero), or NaN or denormal. */
  denormals(v: V128): V128;
  extraordinary(v: V128, orZero: boolean): V128;
  incomparable(v: V128): V128;
}

/**
 * Masks of lanes whose magnitude is outside of a range. Doubled, the sign is gone, and what is below the range wraps to the top. There is no cheap unsigned
 * comparison of vectors, so both sides are moved by half of all numbers.
 */
const outside = (bits: 32 | 64, v: V128, from: bigint, below: bigint): V128 => {
  const lanes = bits === 32 ? 'i32x4' : 'i64x2';
  const half = 1n << BigInt(bits - 1);
  const moved = simd(`${lanes}.sub`, twice(bits, v), splat(bits, 2n * from + half));
  return simd(`${lanes}.gt_s`, moved, splat(bits, 2n * (below - from) - 1n - half));
};
const twice = (bits: 32 | 64, v: V128): V128 => simd(bits === 32 ? 'i32x4.shl' : 'i64x2.shl', v, I32.of(1));
const notZero = (bits: 32 | 64, mask: V128, v: V128): V128 =>
  simd('v128.andnot', mask, simd(bits === 32 ? 'i32x4.eq' : 'i64x2.eq', twice(bits, v), ZERO));

/** The same three questions about lanes of either width. */
function laneClasses(bits: 32 | 64, m: 23 | 52): Pick<FastFormat, 'denormals' | 'extraordinary' | 'incomparable'> {
  const normal = 1n << BigInt(m);
  const infinity = (1n << BigInt(bits - 1)) - normal;
  const lanes = bits === 32 ? 'i32x4' : 'i64x2';
  const half = 1n << BigInt(bits - 1);
  return {
    // Doubled and less 1, zero wraps to the top.
    denormals: (v) =>
      simd(
        `${lanes}.gt_s`,
        splat(bits, 2n * normal - 1n - half),
        simd(`${lanes}.sub`, twice(bits, v), splat(bits, 1n + half)),
      ),
    extraordinary(v, orZero) {
      const mask = outside(bits, v, 2n * normal, infinity);
      return orZero ? notZero(bits, mask, v) : mask;
    },
    incomparable: (v) => notZero(bits, outside(bits, v, normal, infinity + 1n), v),
  };
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
  isOrdinary: (x) =>
    x
      .wrap()
      .shl(1)
      .sub(0x0200_0000)
      .ltU(unsigned(0xff00_0000 - 0x0200_0000)),
  isNan: (x) => x.wrap().and(SINGLE.magnitude).gtU(SINGLE.infinity),
  ...laneClasses(32, 23),
};

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
  isOrdinary: (x) =>
    x
      .shl(1)
      .sub(2n << 53n)
      .ltU((0x7ffn - 2n) << 53n),
  isNan: (x) => x.shl(1).gtU(0x7ffn << 53n),
  ...laneClasses(64, 52),
};

/** Whether a mask that one of the questions gave has no lane set. */
export const none = (mask: V128): I32 => reduce('v128.any_true', mask).eqz();

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

/** The prefixes and operand sizes of the four shapes, by format. */
export const SHAPES = {
  f32: { packed: 'NP', packedSize: 'ps', scalar: 'F3', scalarSize: 'ss' },
  f64: { packed: '66', packedSize: 'pd', scalar: 'F2', scalarSize: 'sd' },
} as const;
