import { F32, F64, I32, I64, instruction, simdOpcode, V128, type Value } from './value.ts';

// prettier-ignore
/** Numbers of vector instructions whose result is a vector (core specification, "Vector Instructions"). */
const VECTOR = {
  'i8x16.swizzle': 0x0e, 'i8x16.splat': 0x0f, 'i16x8.splat': 0x10, 'i32x4.splat': 0x11, 'i64x2.splat': 0x12,
  'i8x16.eq': 0x23, 'i8x16.gt_s': 0x27, 'i8x16.lt_u': 0x26, 'i8x16.gt_u': 0x28,
  'i16x8.eq': 0x2d, 'i16x8.gt_s': 0x31,
  'i32x4.eq': 0x37, 'i32x4.lt_s': 0x39, 'i32x4.lt_u': 0x3a, 'i32x4.gt_s': 0x3b, 'i32x4.ge_u': 0x40,
  'f32x4.eq': 0x41, 'f32x4.ne': 0x42, 'f32x4.lt': 0x43, 'f32x4.le': 0x45,
  'f64x2.eq': 0x47, 'f64x2.ne': 0x48, 'f64x2.lt': 0x49, 'f64x2.le': 0x4b,
  'v128.not': 0x4d, 'v128.and': 0x4e, 'v128.andnot': 0x4f, 'v128.or': 0x50, 'v128.xor': 0x51, 'v128.bitselect': 0x52,
  'f32x4.demote_f64x2_zero': 0x5e, 'f64x2.promote_low_f32x4': 0x5f,
  'i8x16.abs': 0x60, 'i8x16.neg': 0x61, 'i8x16.narrow_i16x8_s': 0x65, 'i8x16.narrow_i16x8_u': 0x66,
  'f32x4.ceil': 0x67, 'f32x4.floor': 0x68, 'f32x4.trunc': 0x69, 'f32x4.nearest': 0x6a,
  'i8x16.shl': 0x6b, 'i8x16.shr_s': 0x6c, 'i8x16.shr_u': 0x6d,
  'i8x16.add': 0x6e, 'i8x16.add_sat_s': 0x6f, 'i8x16.add_sat_u': 0x70,
  'i8x16.sub': 0x71, 'i8x16.sub_sat_s': 0x72, 'i8x16.sub_sat_u': 0x73,
  'f64x2.ceil': 0x74, 'f64x2.floor': 0x75,
  'i8x16.min_s': 0x76, 'i8x16.min_u': 0x77, 'i8x16.max_s': 0x78, 'i8x16.max_u': 0x79,
  'f64x2.trunc': 0x7a, 'i8x16.avgr_u': 0x7b,
  'i16x8.extadd_pairwise_i8x16_u': 0x7d, 'i32x4.extadd_pairwise_i16x8_u': 0x7f,
  'i16x8.abs': 0x80, 'i16x8.neg': 0x81, 'i16x8.q15mulr_sat_s': 0x82,
  'i16x8.narrow_i32x4_s': 0x85, 'i16x8.narrow_i32x4_u': 0x86,
  'i16x8.extend_low_i8x16_s': 0x87, 'i16x8.extend_high_i8x16_s': 0x88,
  'i16x8.extend_low_i8x16_u': 0x89, 'i16x8.extend_high_i8x16_u': 0x8a,
  'i16x8.shl': 0x8b, 'i16x8.shr_s': 0x8c, 'i16x8.shr_u': 0x8d,
  'i16x8.add': 0x8e, 'i16x8.add_sat_s': 0x8f, 'i16x8.add_sat_u': 0x90,
  'i16x8.sub': 0x91, 'i16x8.sub_sat_s': 0x92, 'i16x8.sub_sat_u': 0x93,
  'f64x2.nearest': 0x94, 'i16x8.mul': 0x95,
  'i16x8.min_s': 0x96, 'i16x8.min_u': 0x97, 'i16x8.max_s': 0x98, 'i16x8.max_u': 0x99, 'i16x8.avgr_u': 0x9b,
  'i32x4.abs': 0xa0, 'i32x4.neg': 0xa1,
  'i32x4.extend_low_i16x8_s': 0xa7, 'i32x4.extend_high_i16x8_s': 0xa8,
  'i32x4.extend_low_i16x8_u': 0xa9, 'i32x4.extend_high_i16x8_u': 0xaa,
  'i32x4.shl': 0xab, 'i32x4.shr_s': 0xac, 'i32x4.shr_u': 0xad,
  'i32x4.add': 0xae, 'i32x4.sub': 0xb1, 'i32x4.mul': 0xb5,
  'i32x4.min_s': 0xb6, 'i32x4.min_u': 0xb7, 'i32x4.max_s': 0xb8, 'i32x4.max_u': 0xb9,
  'i32x4.dot_i16x8_s': 0xba,
  'i32x4.extmul_low_i16x8_s': 0xbc, 'i32x4.extmul_high_i16x8_s': 0xbd,
  'i32x4.extmul_low_i16x8_u': 0xbe, 'i32x4.extmul_high_i16x8_u': 0xbf,
  'i64x2.extend_low_i32x4_s': 0xc7, 'i64x2.extend_low_i32x4_u': 0xc9,
  'i64x2.shl': 0xcb, 'i64x2.shr_s': 0xcc, 'i64x2.shr_u': 0xcd,
  'i64x2.add': 0xce, 'i64x2.sub': 0xd1, 'i64x2.mul': 0xd5, 'i64x2.eq': 0xd6, 'i64x2.lt_s': 0xd8, 'i64x2.gt_s': 0xd9, 'i64x2.ge_s': 0xdb,
  'f32x4.abs': 0xe0, 'f32x4.sqrt': 0xe3, 'f32x4.add': 0xe4, 'f32x4.sub': 0xe5, 'f32x4.mul': 0xe6, 'f32x4.div': 0xe7,
  'f32x4.pmin': 0xea, 'f32x4.pmax': 0xeb,
  'f64x2.abs': 0xec, 'f64x2.sqrt': 0xef, 'f64x2.add': 0xf0, 'f64x2.sub': 0xf1, 'f64x2.mul': 0xf2, 'f64x2.div': 0xf3,
  'f64x2.pmin': 0xf6, 'f64x2.pmax': 0xf7,
  'i32x4.trunc_sat_f32x4_s': 0xf8, 'i32x4.trunc_sat_f64x2_s_zero': 0xfc, 'f32x4.convert_i32x4_s': 0xfa, 'f64x2.convert_low_i32x4_s': 0xfe,
} as const;
export type VectorOp = keyof typeof VECTOR;

/** A vector instruction by name. */
export const simd = (name: VectorOp, ...args: readonly Value[]): V128 => V128.op(VECTOR[name], args);

/** Vector instructions whose result is an integer. */
const REDUCTION = {
  'v128.any_true': 0x53,
  'i8x16.all_true': 0x63,
  'i8x16.bitmask': 0x64,
  'i16x8.all_true': 0x83,
  'i16x8.bitmask': 0x84,
  'i32x4.all_true': 0xa3,
  'i32x4.bitmask': 0xa4,
  'i64x2.all_true': 0xc3,
  'i64x2.bitmask': 0xc4,
} as const;

export const reduce = (name: keyof typeof REDUCTION, v: V128): I32 => new I32(simdOpcode(REDUCTION[name]), [v]);

export const lane8 = (v: V128, n: number): I32 => new I32([...simdOpcode(0x16), n], [v]);
export const lane16 = (v: V128, n: number): I32 => new I32([...simdOpcode(0x19), n], [v]);
export const lane32 = (v: V128, n: number): I32 => new I32([...simdOpcode(0x1b), n], [v]);
export const lane64 = (v: V128, n: number): I64 => new I64([...simdOpcode(0x1d), n], [v]);
export const withLane32 = (v: V128, n: number, x: I32): V128 => V128.op(0x1c, [v, x], [n]);
export const withLane64 = (v: V128, n: number, x: I64): V128 => V128.op(0x1e, [v, x], [n]);

/** A vector's low lane as a number, and a number in place of it or in all lanes. */
export const lowFloat = (v: V128, bits: 32 | 64): F32 | F64 =>
  bits === 32 ? new F32([...simdOpcode(0x1f), 0], [v]) : new F64([...simdOpcode(0x21), 0], [v]);
export const withLowFloat = (v: V128, x: F32 | F64): V128 => V128.op(x instanceof F32 ? 0x20 : 0x22, [v, x], [0]);
export const splatFloat = (x: F32 | F64): V128 => V128.op(x instanceof F32 ? 0x13 : 0x14, [x]);

/** Lane n of 8…64 bits, zero-extended. */
export function laneOf(v: V128, bits: number, n: number): I64 {
  if (bits === 64) return lane64(v, n);
  return (bits === 32 ? lane32(v, n) : bits === 16 ? lane16(v, n) : lane8(v, n)).extendU();
}

export function withLane(v: V128, bits: number, n: number, x: I64): V128 {
  if (bits === 64) return withLane64(v, n, x);
  return V128.op(bits === 32 ? 0x1c : bits === 16 ? 0x1a : 0x17, [v, x.wrap()], [n]);
}

/** Bytes of a (0…15) and b (16…31) in any order. */
export const shuffle = (a: V128, b: V128, lanes: readonly number[]): V128 => {
  if (lanes.length !== 16) throw new Error('a shuffle names 16 bytes');
  return V128.op(0x0d, [a, b], lanes);
};

/** A shuffle by units of `bytes`: n-th unit of a, then of b. */
export const shuffleUnits = (bytes: number, a: V128, b: V128, units: readonly number[]): V128 =>
  shuffle(
    a,
    b,
    units.flatMap((n) => Array.from({ length: bytes }, (_, i) => n * bytes + i)),
  );

export const vectorOf = (bytes: readonly number[]): V128 => {
  if (bytes.length !== 16) throw new Error('a vector has 16 bytes');
  return new V128([...simdOpcode(0x0c), ...bytes], []);
};
export const ZERO = vectorOf(new Array<number>(16).fill(0));
export const IOTA = vectorOf(Array.from({ length: 16 }, (_, i) => i));

/** Every lane the same constant. */
export const splat = (lane: 8 | 16 | 32 | 64, value: number | bigint): V128 => {
  const bits = BigInt.asUintN(lane, BigInt(value));
  return vectorOf(Array.from({ length: 16 }, (_, i) => Number((bits >> BigInt((i * 8) % lane)) & 0xffn)));
};

/** The low 64 (32) bits from memory, the others 0. */
export const load64Zero = (at: I32, offset = 0): V128 => new V128(withMemarg(0x5d, offset), [at]);
export const load32Zero = (at: I32, offset = 0): V128 => new V128(withMemarg(0x5c, offset), [at]);

/** A vector with the low lane given, the others 0. */
export const lowLane64 = (x: I64): V128 => withLane64(ZERO, 0, x);
export const lowLane32 = (x: I32): V128 => withLane32(ZERO, 0, x);

function withMemarg(number: number, offset: number): number[] {
  const opcode = simdOpcode(number);
  return instruction((o) => {
    for (const byte of opcode) o.byte(byte);
    o.u32(0);
    o.u32(offset);
  });
}
