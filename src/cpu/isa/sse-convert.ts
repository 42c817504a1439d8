import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { lane32, lane64, lowLane64, simd, withLane64 } from '../wasm/simd.ts';
import { I32, type I64, type V128, ValType } from '../wasm/value.ts';
import { packed, scalar, settle } from './sse-exceptions.ts';
import { convertHelpers } from './sse-convert-helpers.ts';
import { bothFormats, type FastFormat, formats, SHAPES } from './sse-format.ts';
import { readScalar } from './sse-inline.ts';
import {
  inlineFromInteger,
  inlineNarrow,
  inlinePackedFromInteger,
  inlinePackedNarrow,
  inlinePackedToInteger,
  inlinePackedWiden,
  inlineToInteger,
  inlineWiden,
} from './sse-inline-convert.ts';
import { begin, callHelper, enterMmx, readLow, readVector, writeLow, writeVector } from './sse-operands.ts';
import { Rounding, roundingOf } from './sse-soft.ts';

const { i64, v128 } = ValType;
const { f32, f64 } = formats;

/** CVT… rounds as MXCSR says, CVTT… to zero. */
const roundings = [
  { letter: '', name: 'nearest', mode: (u: Semantics): I32 => roundingOf(u.vcpu) },
  { letter: 'T', name: 'trunc', mode: (): I32 => I32.of(Rounding.zero) },
] as const;

/** Two lanes converted one by one, as low halves of a vector. */
const pair = (low: I64, high: I64): V128 => lowLane64(low.and(0xffff_ffff).or(high.shl(32)));
const eachLane = (u: Semantics, name: string, lanes: readonly I64[], ...more: readonly I32[]): I64[] =>
  lanes.map((x) => callHelper(u, name, i64, u.vcpu, x, ...more));

/** A form with a 32-bit and, by REX.W, a 64-bit general register. */
const byWidth = (form: string, register: 'E' | 'G'): string[] =>
  [`${register}d W0`, `${register}q W1`].map((r) => {
    const [operand = '', w = ''] = r.split(' ');
    return `${form.replace('@', operand)} ${w}`;
  });

const scalars: Instruction[] = bothFormats.flatMap((f): Instruction[] => {
  const { scalar: prefix, scalarSize: size } = SHAPES[f.name];
  const name = size.toUpperCase();
  return [
    {
      name: `CVTSI2${name}`,
      forms: byWidth(`${prefix} 0F 2A /r V${size},@`, 'E'),
      build(u, dst, src) {
        begin(u);
        if (u.inline) u.writeFloat(dst, inlineFromInteger(u, f, src.bits, u.let(u.readSigned(src))));
        else writeLow(u, dst, f.bits, scalar(u, `${f.name}.fromInteger`, u.readSigned(src)));
      },
    },
    ...roundings.map(({ letter, name: rounding, mode }): Instruction => ({
      name: `CVT${letter}${name}2SI`,
      forms: byWidth(`${prefix} 0F ${letter === 'T' ? '2C' : '2D'} /r @,W${size}`, 'G'),
      build(u, dst, src) {
        begin(u);
        const whole = (x: I64): I64 => callHelper(u, `${f.name}.toInteger`, i64, u.vcpu, x, I32.of(dst.bits), mode(u));
        if (u.inline) {
          const x = readScalar(u, f, src);
          u.write(
            dst,
            inlineToInteger(u, x, rounding, () => whole(x.bits), dst.bits),
          );
          return;
        }
        const r = whole(readLow(u, src, f.bits));
        settle(u);
        u.write(dst, r);
      },
    })),
  ];
});

/** Integers in an MMX register or memory to floating point. Memory operands cause no transition to MMX state only in CVTPI2PD (SDM Vol. 2A, "CVTPI2PD"). */
const fromMmx = (f: FastFormat): Instruction => {
  const { packed: prefix, packedSize: size } = SHAPES[f.name];
  return {
    name: `CVTPI2${size.toUpperCase()}`,
    forms: [`${prefix} 0F 2A /r V${size},Qq`],
    build(u, dst, src) {
      begin(u, src);
      const v = u.let(readVector(u, src));
      if (f.bits === 64) {
        u.writeV(dst, simd('f64x2.convert_low_i32x4_s', v));
        if (src.kind === 'q') enterMmx(u);
      } else {
        const lanes = [0, 1].map((n) => lane32(v, n).extendS());
        const [low, high] = eachLane(u, 'f32.fromInteger', lanes);
        if (src.kind === 'q') enterMmx(u);
        settle(u);
        if (!low || !high) throw new Error('two lanes');
        writeLow(u, dst, 64, low.or(high.shl(32)));
      }
    },
  };
};

const toMmx = (f: FastFormat): Instruction[] => {
  const { packed: prefix, packedSize: size } = SHAPES[f.name];
  return roundings.map(({ letter, mode }): Instruction => ({
    name: `CVT${letter}${size.toUpperCase()}2PI`,
    forms: [`${prefix} 0F ${letter === 'T' ? '2C' : '2D'} /r Pq,W${f.bits === 64 ? 'pd' : 'q'}`],
    build(u, dst, src) {
      begin(u, dst);
      writeVector(u, dst, twoToIntegers(u, f, dst, src, mode(u)));
    },
  }));
};

/** Two numbers to 32-bit integers in the low half of a vector. */
function twoToIntegers(u: Semantics, f: FastFormat, dst: Operand, src: Operand, mode: I32): V128 {
  const v = u.let(readVector(u, src));
  const { low, high } = integersOf(u, f, v, mode);
  // The transition to MMX state happens even if #XM follows.
  if (dst.kind === 'q') enterMmx(u);
  settle(u);
  return u.let(pair(low, high));
}

function integersOf(u: Semantics, f: FastFormat, v: V128, mode: I32): { low: I64; high: I64 } {
  const rounding = u.let(mode);
  const [low, high] = eachLane(u, `${f.name}.toInteger`, [f.lane(v, 0), f.lane(v, 1)], I32.of(32), rounding);
  if (!low || !high) throw new Error('two lanes');
  return { low, high };
}

/** CVTPS2DQ and CVTPD2DQ, and with T. */
const toIntegers = (f: FastFormat, name: string, form: string, { name: rounding, mode }: Direction): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    const v = u.let(readVector(u, src));
    const convert = (): V128 => {
      if (f.bits === 32) return callHelper(u, 'f32x4.toInteger', v128, u.vcpu, v, mode(u));
      const { low, high } = integersOf(u, f, v, mode(u));
      return u.let(pair(low, high));
    };
    u.writeV(dst, u.inline ? inlinePackedToInteger(u, f, rounding, v, convert) : settled(u, convert()));
  },
});
type Direction = (typeof roundings)[number];
const [current, truncated] = roundings;

const settled = (u: Semantics, result: V128): V128 => {
  settle(u);
  return result;
};

/** Two numbers of one format to the other. */
const halves = (u: Semantics, name: string, lanes: readonly I64[], join: (low: I64, high: I64) => V128): V128 => {
  const [low, high] = eachLane(u, name, lanes);
  if (!low || !high) throw new Error('two lanes');
  return u.let(join(low, high));
};

const vectors: Instruction[] = [
  {
    name: 'CVTDQ2PS',
    forms: ['NP 0F 5B /r Vps,Wdq'],
    build(u, dst, src) {
      begin(u);
      if (u.inline) u.writeV(dst, inlinePackedFromInteger(u, u.let(readVector(u, src))));
      else u.writeV(dst, packed(u, 'f32x4.fromInteger', readVector(u, src)));
    },
  },
  {
    name: 'CVTDQ2PD',
    forms: ['F3 0F E6 /r Vpd,Wq'],
    build(u, dst, src) {
      begin(u);
      u.writeV(dst, simd('f64x2.convert_low_i32x4_s', readVector(u, src)));
    },
  },
  toIntegers(f32, 'CVTPS2DQ', '66 0F 5B /r Vdq,Wps', current),
  toIntegers(f32, 'CVTTPS2DQ', 'F3 0F 5B /r Vdq,Wps', truncated),
  toIntegers(f64, 'CVTPD2DQ', 'F2 0F E6 /r Vdq,Wpd', current),
  toIntegers(f64, 'CVTTPD2DQ', '66 0F E6 /r Vdq,Wpd', truncated),
  {
    name: 'CVTPS2PD',
    forms: ['NP 0F 5A /r Vpd,Wq'],
    build(u, dst, src) {
      begin(u);
      const v = u.let(readVector(u, src));
      const lanes = [f32.lane(v, 0), f32.lane(v, 1)];
      const convert = (): V128 =>
        halves(u, 'f64.fromSingle', lanes, (low, high) => withLane64(lowLane64(low), 1, high));
      u.writeV(dst, u.inline ? inlinePackedWiden(u, v, convert) : settled(u, convert()));
    },
  },
  {
    name: 'CVTPD2PS',
    forms: ['66 0F 5A /r Vps,Wpd'],
    build(u, dst, src) {
      begin(u);
      const v = u.let(readVector(u, src));
      const convert = (): V128 => halves(u, 'f32.fromDouble', [lane64(v, 0), lane64(v, 1)], pair);
      u.writeV(dst, u.inline ? inlinePackedNarrow(u, v, convert) : settled(u, convert()));
    },
  },
  {
    name: 'CVTSS2SD',
    forms: ['F3 0F 5A /r Vsd,Wss'],
    build(u, dst, src) {
      begin(u);
      if (u.inline) u.writeFloat(dst, inlineWiden(u, readScalar(u, f32, src)));
      else writeLow(u, dst, 64, scalar(u, 'f64.fromSingle', readLow(u, src, 32)));
    },
  },
  {
    name: 'CVTSD2SS',
    forms: ['F2 0F 5A /r Vss,Wsd'],
    build(u, dst, src) {
      begin(u);
      if (u.inline) u.writeFloat(dst, inlineNarrow(u, readScalar(u, f64, src)));
      else writeLow(u, dst, 32, scalar(u, 'f32.fromDouble', readLow(u, src, 64)));
    },
  },
];
export const sseConvert: InstructionGroup = {
  helpers: convertHelpers,
  instructions: [...scalars, fromMmx(f32), fromMmx(f64), ...toMmx(f32), ...toMmx(f64), ...vectors],
};
