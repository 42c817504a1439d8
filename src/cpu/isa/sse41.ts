import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { IOTA, lane16, lowLane32, reduce, shuffleUnits, simd, vectorOf, type VectorOp } from '../wasm/simd.ts';
import { I32, type V128, ValType } from '../wasm/value.ts';
import { begin, imm8, readVector, writeVector } from './sse-operands.ts';

/** A vector of masks from the bits of an immediate: lane n is ones when bit n is set. */
function masksOf(u: Semantics, bytes: 2 | 4 | 8): V128 {
  const bit = vectorOf(Array.from({ length: 16 }, (_, i) => (i % bytes === 0 ? 1 << (i / bytes) : 0)));
  const set = simd('v128.and', simd('i8x16.splat', imm8(u)), bit);
  const lane = ({ 2: 'i16x8.eq', 4: 'i32x4.eq', 8: 'i64x2.eq' } as const)[bytes];
  return simd(lane, set, bit);
}

/** The same where the translator knows the immediate: a shuffle of both vectors. */
function blended(u: Semantics, bytes: 2 | 4 | 8, a: V128, b: V128): V128 | undefined {
  const imm = imm8(u).known;
  if (imm === undefined) return undefined;
  const lanes = 16 / bytes;
  const units = Array.from({ length: lanes }, (_, n) => n + ((imm >> n) & 1) * lanes);
  return shuffleUnits(bytes, a, b, units);
}

/** Lanes of the source where the immediate says so. */
const blendBy = (name: string, form: string, bytes: 2 | 4 | 8): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    const b = readVector(u, src);
    const a = u.readV(dst);
    u.writeV(dst, blended(u, bytes, a, b) ?? simd('v128.bitselect', b, a, masksOf(u, bytes)));
  },
});

/** Lanes of the source where masks say so. */
const blend = (name: string, form: string, masks: (u: Semantics) => V128): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    const b = readVector(u, src);
    u.writeV(dst, simd('v128.bitselect', b, u.readV(dst), masks(u)));
  },
});

/** The implicit mask of BLENDVPS and its kin: the sign of each lane of XMM0. */
const signsOfXmm0 =
  (shift: VectorOp, bits: number) =>
  (u: Semantics): V128 =>
    simd(shift, u.xmm(0), I32.of(bits - 1));

/** PMOVSX and PMOVZX: lanes widened by steps of two. */
const widen = (name: string, opcode: string, size: 'w' | 'd' | 'q', steps: readonly VectorOp[]): Instruction => ({
  name,
  forms: [`66 0F 38 ${opcode} /r Vdq,U${size}`, `66 0F 38 ${opcode} /r Vdq,M${size}`],
  build(u, dst, src) {
    begin(u);
    const v = size === 'w' && src.kind === 'm' ? lowLane32(u.read(src, 16).wrap()) : readVector(u, src);
    u.writeV(
      dst,
      steps.reduce((x, step) => simd(step, x), v),
    );
  },
});

const widening = (['s', 'u'] as const).flatMap((sign): Instruction[] => {
  const high = sign === 's' ? '2' : '3';
  const name = sign === 's' ? 'PMOVSX' : 'PMOVZX';
  const [b, w, d] = [
    `i16x8.extend_low_i8x16_${sign}`,
    `i32x4.extend_low_i16x8_${sign}`,
    `i64x2.extend_low_i32x4_${sign}`,
  ] as const;
  return [
    widen(`${name}BW`, `${high}0`, 'q', [b]),
    widen(`${name}BD`, `${high}1`, 'd', [b, w]),
    widen(`${name}BQ`, `${high}2`, 'w', [b, w, d]),
    widen(`${name}WD`, `${high}3`, 'q', [w]),
    widen(`${name}WQ`, `${high}4`, 'd', [w, d]),
    widen(`${name}DQ`, `${high}5`, 'q', [d]),
  ];
});

/** PABS (SSSE3): one operand, MMX forms too. */
const absolute = (name: string, opcode: string, op: VectorOp): Instruction => ({
  name,
  forms: [`66 0F 38 ${opcode} /r Vdq,Wdq`, `NP 0F 38 ${opcode} /r Pq,Qq`],
  build(u, dst, src) {
    begin(u, dst);
    writeVector(u, dst, simd(op, readVector(u, src)));
  },
});

/** Offsets of the eight overlapping groups of four bytes, byte k of each. */
const overlapping = (k: number): V128 => vectorOf(Array.from({ length: 16 }, (_, i) => (i < 8 ? i + k : 0x80)));

const instructions: Instruction[] = [
  blendBy('BLENDPS', '66 0F 3A 0C /r Vps,Wps,Ib', 4),
  blendBy('BLENDPD', '66 0F 3A 0D /r Vpd,Wpd,Ib', 8),
  blendBy('PBLENDW', '66 0F 3A 0E /r Vdq,Wdq,Ib', 2),
  blend('BLENDVPS', '66 0F 38 14 /r Vps,Wps', signsOfXmm0('i32x4.shr_s', 32)),
  blend('BLENDVPD', '66 0F 38 15 /r Vpd,Wpd', signsOfXmm0('i64x2.shr_s', 64)),
  blend('PBLENDVB', '66 0F 38 10 /r Vdq,Wdq', signsOfXmm0('i8x16.shr_s', 8)),
  {
    // ZF: no common bit. CF: no bit of the source that the destination lacks.
    name: 'PTEST',
    forms: ['66 0F 38 17 /r Vdq,Wdq'],
    build(u, dst, src) {
      begin(u);
      const b = u.let(readVector(u, src));
      const a = u.let(u.readV(dst));
      const zf = reduce('v128.any_true', simd('v128.and', a, b)).eqz();
      const cf = reduce('v128.any_true', simd('v128.andnot', b, a)).eqz();
      u.flags.setStatus(zf.shl(6).or(cf));
    },
  },
  ...widening,
  absolute('PABSB', '1C', 'i8x16.abs'),
  absolute('PABSW', '1D', 'i16x8.abs'),
  absolute('PABSD', '1E', 'i32x4.abs'),
  {
    // The smallest word and its place. Place and word side by side in one number make it a plain minimum.
    name: 'PHMINPOSUW',
    forms: ['66 0F 38 41 /r Vdq,Wdq'],
    build(u, dst, src) {
      begin(u);
      const v = u.let(readVector(u, src));
      const best = u.code.variable(ValType.i32, lane16(v, 0).shl(16));
      for (let n = 1; n < 8; n++) {
        const candidate = u.let(lane16(v, n).shl(16).or(n));
        u.code.if(candidate.ltU(best.get), () => best.set(candidate));
      }
      u.writeV(dst, lowLane32(best.get.rotl(16)));
    },
  },
  {
    // Eight sums of absolute differences of four neighbouring bytes of a, from byte 0 or 4, to one group of four bytes of b.
    name: 'MPSADBW',
    forms: ['66 0F 3A 42 /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const b = u.let(readVector(u, src));
      const imm = u.let(imm8(u));
      const start = simd('i8x16.splat', imm.and(4));
      const a = u.let(simd('i8x16.swizzle', u.readV(dst), simd('i8x16.add', IOTA, start)));
      const terms = [0, 1, 2, 3].map((k) => {
        const x = simd('i16x8.extend_low_i8x16_u', simd('i8x16.swizzle', a, overlapping(k)));
        const y = simd(
          'i16x8.extend_low_i8x16_u',
          simd('i8x16.swizzle', b, simd('i8x16.splat', imm.and(3).shl(2).add(k))),
        );
        return simd('i16x8.abs', simd('i16x8.sub', x, y));
      });
      u.writeV(
        dst,
        terms.reduce((x, y) => simd('i16x8.add', x, y)),
      );
    },
  },
];

export const sse41: InstructionGroup = { instructions };
