import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { shuffle, shuffleUnits, simd, splat, type VectorOp, ZERO } from '../wasm/simd.ts';
import { I32, type V128 } from '../wasm/value.ts';
import { begin, readVector, writeVector } from './sse-operands.ts';

/** `keep` puts what is used twice into a local. */
type Combine = (a: V128, b: V128, keep: (v: V128) => V128) => V128;
const op =
  (name: VectorOp): Combine =>
  (a, b) =>
    simd(name, a, b);
const reversed =
  (name: VectorOp): Combine =>
  (a, b) =>
    simd(name, b, a);

const EVEN16 = [0, 2, 4, 6, 8, 10, 12, 14];
const ODD16 = EVEN16.map((n) => n + 1);
const EVEN32 = [0, 2, 4, 6];
const ODD32 = EVEN32.map((n) => n + 1);

/** The high halves of the products of 16-bit lanes. */
const highProducts =
  (sign: 's' | 'u'): Combine =>
  (a, b) =>
    shuffleUnits(2, simd(`i32x4.extmul_low_i16x8_${sign}`, a, b), simd(`i32x4.extmul_high_i16x8_${sign}`, a, b), ODD16);

const LOW32 = splat(64, 0xffff_ffff);
const evenProductsU: Combine = (a, b) => simd('i64x2.mul', simd('v128.and', a, LOW32), simd('v128.and', b, LOW32));
const evenProductsS: Combine = (a, b) => {
  const signed = (v: V128): V128 => simd('i64x2.shr_s', simd('i64x2.shl', v, I32.of(32)), I32.of(32));
  return simd('i64x2.mul', signed(a), signed(b));
};

/** Sums of absolute differences of eight bytes each. */
const sad: Combine = (a, b, keep) => {
  const difference = simd('v128.or', simd('i8x16.sub_sat_u', a, b), simd('i8x16.sub_sat_u', b, a));
  const words = simd('i16x8.extadd_pairwise_i8x16_u', difference);
  const dwords = keep(simd('i32x4.extadd_pairwise_i16x8_u', words));
  return simd('i64x2.add', simd('v128.and', dwords, LOW32), simd('i64x2.shr_u', dwords, I32.of(32)));
};

/** (a × b + 2^14) >> 15, where -1 × -1 wraps to -1 instead of saturating (SDM Vol. 2B, "PMULHRSW"). */
const roundedHigh: Combine = (a, b) => {
  const minimum = splat(16, 0x8000);
  const bothMinimum = simd('v128.and', simd('i16x8.eq', a, minimum), simd('i16x8.eq', b, minimum));
  return simd('v128.xor', simd('i16x8.q15mulr_sat_s', a, b), bothMinimum);
};

/** Unsigned bytes of a times signed bytes of b, neighbours added with saturation. No product overflows 16 bits. */
const maddubs: Combine = (a, b, keep) => {
  const products = (half: 'low' | 'high'): V128 =>
    simd('i16x8.mul', simd(`i16x8.extend_${half}_i8x16_u`, a), simd(`i16x8.extend_${half}_i8x16_s`, b));
  const low = keep(products('low'));
  const high = keep(products('high'));
  return simd('i16x8.add_sat_s', shuffleUnits(2, low, high, EVEN16), shuffleUnits(2, low, high, ODD16));
};

/** Neighbours of a, then of b, combined. */
const horizontal =
  (name: VectorOp, bytes: 2 | 4): Combine =>
  (a, b) => {
    const [even, odd] = bytes === 2 ? [EVEN16, ODD16] : [EVEN32, ODD32];
    return simd(name, shuffleUnits(bytes, a, b, even), shuffleUnits(bytes, a, b, odd));
  };

/** a negated where b is negative, 0 where b is 0. */
const sign =
  (bits: 8 | 16 | 32): Combine =>
  (a, b, keep) => {
    const lanes = ({ 8: 'i8x16', 16: 'i16x8', 32: 'i32x4' } as const)[bits];
    const negative = keep(simd(`${lanes}.shr_s`, b, I32.of(bits - 1)));
    const value = simd(`${lanes}.sub`, simd('v128.xor', a, negative), negative);
    return simd('v128.andnot', value, simd(`${lanes}.eq`, b, ZERO));
  };

const shuffleBytes =
  (mask: number): Combine =>
  (a, b) =>
    simd('i8x16.swizzle', a, simd('v128.and', b, splat(8, mask)));

const interleave = (bytes: number, from: number): number[] =>
  Array.from({ length: 16 / bytes / 2 }, (_, i) => [from / bytes + i, 16 / bytes + from / bytes + i]).flat();
const unpackLow =
  (bytes: number): Combine =>
  (a, b) =>
    shuffleUnits(bytes, a, b, interleave(bytes, 0));
const unpackHigh =
  (bytes: number): Combine =>
  (a, b) =>
    shuffleUnits(bytes, a, b, interleave(bytes, 8));

/** MMX forms of what crosses the middle of a vector: both operands side by side in one. */
const joined = (a: V128, b: V128): V128 => shuffleUnits(8, a, b, [0, 2]);
const packMmx =
  (name: VectorOp): Combine =>
  (a, b) =>
    simd(name, joined(a, b), ZERO);
const upperHalf =
  (combine: Combine): Combine =>
  (a, b, keep) =>
    shuffle(combine(a, b, keep), ZERO, [8, 9, 10, 11, 12, 13, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16]);
const horizontalMmx =
  (name: VectorOp, bytes: 2 | 4): Combine =>
  (a, b, keep) =>
    horizontal(name, bytes)(keep(joined(a, b)), ZERO, keep);

interface Row {
  readonly name: string;
  /** Opcode bytes after 0F. */
  readonly opcode: string;
  readonly combine: Combine;
  /** Differs for MMX registers; null: no MMX form. */
  readonly mmx?: Combine | null;
}

const row = (name: string, opcode: string, combine: Combine, mmx?: Combine | null): Row =>
  mmx === undefined ? { name, opcode, combine } : { name, opcode, combine, mmx };

/** Two operands, the first also the destination. MMX forms do the same in the low half unless a row says otherwise. */
const rows: readonly Row[] = [
  row('PUNPCKLBW', '60', unpackLow(1)),
  row('PUNPCKLWD', '61', unpackLow(2)),
  row('PUNPCKLDQ', '62', unpackLow(4)),
  row('PACKSSWB', '63', op('i8x16.narrow_i16x8_s'), packMmx('i8x16.narrow_i16x8_s')),
  row('PCMPGTB', '64', op('i8x16.gt_s')),
  row('PCMPGTW', '65', op('i16x8.gt_s')),
  row('PCMPGTD', '66', op('i32x4.gt_s')),
  row('PACKUSWB', '67', op('i8x16.narrow_i16x8_u'), packMmx('i8x16.narrow_i16x8_u')),
  row('PUNPCKHBW', '68', unpackHigh(1), upperHalf(unpackLow(1))),
  row('PUNPCKHWD', '69', unpackHigh(2), upperHalf(unpackLow(2))),
  row('PUNPCKHDQ', '6A', unpackHigh(4), upperHalf(unpackLow(4))),
  row('PACKSSDW', '6B', op('i16x8.narrow_i32x4_s'), packMmx('i16x8.narrow_i32x4_s')),
  row('PUNPCKLQDQ', '6C', unpackLow(8), null),
  row('PUNPCKHQDQ', '6D', unpackHigh(8), null),
  row('PCMPEQB', '74', op('i8x16.eq')),
  row('PCMPEQW', '75', op('i16x8.eq')),
  row('PCMPEQD', '76', op('i32x4.eq')),
  row('PADDQ', 'D4', op('i64x2.add')),
  row('PMULLW', 'D5', op('i16x8.mul')),
  row('PSUBUSB', 'D8', op('i8x16.sub_sat_u')),
  row('PSUBUSW', 'D9', op('i16x8.sub_sat_u')),
  row('PMINUB', 'DA', op('i8x16.min_u')),
  row('PAND', 'DB', op('v128.and')),
  row('PADDUSB', 'DC', op('i8x16.add_sat_u')),
  row('PADDUSW', 'DD', op('i16x8.add_sat_u')),
  row('PMAXUB', 'DE', op('i8x16.max_u')),
  row('PANDN', 'DF', reversed('v128.andnot')),
  row('PAVGB', 'E0', op('i8x16.avgr_u')),
  row('PAVGW', 'E3', op('i16x8.avgr_u')),
  row('PMULHUW', 'E4', highProducts('u')),
  row('PMULHW', 'E5', highProducts('s')),
  row('PSUBSB', 'E8', op('i8x16.sub_sat_s')),
  row('PSUBSW', 'E9', op('i16x8.sub_sat_s')),
  row('PMINSW', 'EA', op('i16x8.min_s')),
  row('POR', 'EB', op('v128.or')),
  row('PADDSB', 'EC', op('i8x16.add_sat_s')),
  row('PADDSW', 'ED', op('i16x8.add_sat_s')),
  row('PMAXSW', 'EE', op('i16x8.max_s')),
  row('PXOR', 'EF', op('v128.xor')),
  row('PMULUDQ', 'F4', evenProductsU),
  row('PMADDWD', 'F5', op('i32x4.dot_i16x8_s')),
  row('PSADBW', 'F6', sad),
  row('PSUBB', 'F8', op('i8x16.sub')),
  row('PSUBW', 'F9', op('i16x8.sub')),
  row('PSUBD', 'FA', op('i32x4.sub')),
  row('PSUBQ', 'FB', op('i64x2.sub')),
  row('PADDB', 'FC', op('i8x16.add')),
  row('PADDW', 'FD', op('i16x8.add')),
  row('PADDD', 'FE', op('i32x4.add')),
  // SSSE3
  row('PSHUFB', '38 00', shuffleBytes(0x8f), shuffleBytes(0x87)),
  row('PHADDW', '38 01', horizontal('i16x8.add', 2), horizontalMmx('i16x8.add', 2)),
  row('PHADDD', '38 02', horizontal('i32x4.add', 4), horizontalMmx('i32x4.add', 4)),
  row('PHADDSW', '38 03', horizontal('i16x8.add_sat_s', 2), horizontalMmx('i16x8.add_sat_s', 2)),
  row('PMADDUBSW', '38 04', maddubs),
  row('PHSUBW', '38 05', horizontal('i16x8.sub', 2), horizontalMmx('i16x8.sub', 2)),
  row('PHSUBD', '38 06', horizontal('i32x4.sub', 4), horizontalMmx('i32x4.sub', 4)),
  row('PHSUBSW', '38 07', horizontal('i16x8.sub_sat_s', 2), horizontalMmx('i16x8.sub_sat_s', 2)),
  row('PSIGNB', '38 08', sign(8)),
  row('PSIGNW', '38 09', sign(16)),
  row('PSIGND', '38 0A', sign(32)),
  row('PMULHRSW', '38 0B', roundedHigh),
  // SSE4.1
  row('PMULDQ', '38 28', evenProductsS, null),
  row('PCMPEQQ', '38 29', op('i64x2.eq'), null),
  row('PACKUSDW', '38 2B', op('i16x8.narrow_i32x4_u'), null),
  row('PMINSB', '38 38', op('i8x16.min_s'), null),
  row('PMINSD', '38 39', op('i32x4.min_s'), null),
  row('PMINUW', '38 3A', op('i16x8.min_u'), null),
  row('PMINUD', '38 3B', op('i32x4.min_u'), null),
  row('PMAXSB', '38 3C', op('i8x16.max_s'), null),
  row('PMAXSD', '38 3D', op('i32x4.max_s'), null),
  row('PMAXUW', '38 3E', op('i16x8.max_u'), null),
  row('PMAXUD', '38 3F', op('i32x4.max_u'), null),
  row('PMULLD', '38 40', op('i32x4.mul'), null),
  // SSE4.2
  row('PCMPGTQ', '38 37', op('i64x2.gt_s'), null),
];

/** Bitwise operations and interleaving on lanes that are called floating-point numbers: no exceptions, no flags. */
const floatNamed: readonly { name: string; form: string; combine: Combine }[] = [
  ['AND', '54', op('v128.and')] as const,
  ['ANDN', '55', reversed('v128.andnot')] as const,
  ['OR', '56', op('v128.or')] as const,
  ['XOR', '57', op('v128.xor')] as const,
]
  .flatMap(([name, opcode, combine]) => [
    { name: `${name}PS`, form: `NP 0F ${opcode} /r Vps,Wps`, combine },
    { name: `${name}PD`, form: `66 0F ${opcode} /r Vpd,Wpd`, combine },
  ])
  .concat([
    { name: 'UNPCKLPS', form: 'NP 0F 14 /r Vps,Wps', combine: unpackLow(4) },
    { name: 'UNPCKLPD', form: '66 0F 14 /r Vpd,Wpd', combine: unpackLow(8) },
    { name: 'UNPCKHPS', form: 'NP 0F 15 /r Vps,Wps', combine: unpackHigh(4) },
    { name: 'UNPCKHPD', form: '66 0F 15 /r Vpd,Wpd', combine: unpackHigh(8) },
  ]);

const instruction = (name: string, forms: readonly string[], xmm: Combine, mmx: Combine): Instruction => ({
  name,
  forms,
  build(u, dst, src) {
    begin(u, dst);
    const b = u.let(readVector(u, src));
    const a = u.let(readVector(u, dst));
    writeVector(
      u,
      dst,
      (dst.kind === 'q' ? mmx : xmm)(a, b, (v) => u.let(v)),
    );
  },
});

export const sseInteger: InstructionGroup = {
  instructions: [
    ...rows.map(({ name, opcode, combine, mmx }) => {
      const forms = [`66 0F ${opcode} /r Vdq,Wdq`];
      // PUNPCKL reads 32 bits only of an MMX memory operand.
      if (mmx !== null) forms.push(`NP 0F ${opcode} /r Pq,Q${name.startsWith('PUNPCKL') ? 'd' : 'q'}`);
      return instruction(name, forms, combine, mmx ?? combine);
    }),
    ...floatNamed.map(({ name, form, combine }) => instruction(name, [form], combine, combine)),
  ],
};
