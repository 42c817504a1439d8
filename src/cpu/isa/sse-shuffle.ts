import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { lane64, reduce, shuffle, shuffleUnits, simd, splat, vectorOf } from '../wasm/simd.ts';
import { I32, I64, type V128 } from '../wasm/value.ts';
import { begin, enterMmx, imm8, readLaneAt, readVector, writeLaneAt, writeMmx, writeVector } from './sse-operands.ts';

/** The four 2-bit selectors of an immediate as one byte each. */
const selectors = (u: Semantics): I32 => {
  const imm = u.let(imm8(u));
  return imm.or(imm.shl(6)).or(imm.shl(12)).or(imm.shl(18)).and(0x03030303);
};

const repeat = (bytes: number, lanes: readonly number[]): number[] =>
  lanes.flatMap((n) => Array.from({ length: bytes }, () => n));
const within = (bytes: number): V128 => vectorOf(Array.from({ length: 16 }, (_, i) => i % bytes));

/** Swizzle indexes that take four lanes of `bytes` by the immediate. */
const fourLanes = (u: Semantics, bytes: 2 | 4): V128 => {
  const lanes = simd('i32x4.splat', selectors(u));
  const spread = shuffle(lanes, lanes, bytes === 4 ? repeat(4, [0, 1, 2, 3]) : repeat(2, [0, 1, 2, 3, 0, 1, 2, 3]));
  return simd('i8x16.add', simd('i8x16.shl', spread, I32.of(bytes === 4 ? 2 : 1)), within(bytes));
};

/** The four selectors of an immediate that the translator knows: its shuffles are WebAssembly's own. */
function knownLanes(u: Semantics): readonly [number, number, number, number] | undefined {
  const imm = imm8(u).known;
  return imm === undefined ? undefined : [imm & 3, (imm >> 2) & 3, (imm >> 4) & 3, imm >> 6];
}

/** Four lanes of one vector, whose other lanes of the same size (words only) stay: `from` is the number of the first of the four. */
const permute = (bytes: 2 | 4, v: V128, [a, b, c, d]: readonly [number, number, number, number], from = 0): V128 => {
  const units = bytes === 4 ? [0, 1, 2, 3] : [0, 1, 2, 3, 4, 5, 6, 7];
  units.splice(from, 4, from + a, from + b, from + c, from + d);
  return shuffleUnits(bytes, v, v, units);
};

const LOW_HALF = vectorOf([...repeat(8, [0xff]), ...repeat(8, [0])]);
/** Index bytes that give zero. */
const NOT_LOW = vectorOf([...repeat(8, [0]), ...repeat(8, [0x80])]);
const NOT_HIGH = vectorOf([...repeat(8, [0x80]), ...repeat(8, [0])]);

/** The lane that the immediate of PINSRx and PEXTRx names. */
const lane = (u: Semantics, o: Operand, bits: number): I32 => imm8(u).and((o.kind === 'q' ? 64 : 128) / bits - 1);

const insert = (name: string, forms: readonly string[], bits: 8 | 16 | 32 | 64): Instruction => ({
  name,
  forms,
  build(u, dst, src) {
    begin(u, dst);
    const value = u.let(u.read(src, src.kind === 'm' ? bits : 64));
    writeLaneAt(u, dst, bits, lane(u, dst, bits), value);
    if (dst.kind === 'q') writeMmx(u, dst, u.readLane(dst, 64));
  },
});

const extract = (name: string, forms: readonly string[], bits: 8 | 16 | 32 | 64): Instruction => ({
  name,
  forms,
  build(u, dst, src) {
    begin(u, src);
    const value = u.let(readLaneAt(u, src, bits, lane(u, src, bits)));
    u.write(dst, value, dst.kind === 'm' ? bits : dst.bits);
    if (src.kind === 'q') enterMmx(u);
  },
});

const instructions: Instruction[] = [
  {
    name: 'PSHUFD',
    forms: ['66 0F 70 /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const lanes = knownLanes(u);
      const v = u.let(readVector(u, src));
      u.writeV(dst, lanes ? permute(4, v, lanes) : simd('i8x16.swizzle', v, fourLanes(u, 4)));
    },
  },
  {
    name: 'PSHUFLW',
    forms: ['F2 0F 70 /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const v = u.let(readVector(u, src));
      const lanes = knownLanes(u);
      if (lanes) u.writeV(dst, permute(2, v, lanes));
      else u.writeV(dst, simd('v128.bitselect', simd('i8x16.swizzle', v, fourLanes(u, 2)), v, LOW_HALF));
    },
  },
  {
    name: 'PSHUFHW',
    forms: ['F3 0F 70 /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const v = u.let(readVector(u, src));
      const lanes = knownLanes(u);
      if (lanes) {
        u.writeV(dst, permute(2, v, lanes, 4));
        return;
      }
      const high = simd('i8x16.swizzle', v, simd('i8x16.add', fourLanes(u, 2), splat(8, 8)));
      u.writeV(dst, simd('v128.bitselect', v, high, LOW_HALF));
    },
  },
  {
    name: 'PSHUFW',
    forms: ['NP 0F 70 /r Pq,Qq,Ib'],
    build(u, dst, src) {
      begin(u, dst);
      writeVector(u, dst, simd('i8x16.swizzle', readVector(u, src), fourLanes(u, 2)));
    },
  },
  {
    name: 'SHUFPS',
    forms: ['NP 0F C6 /r Vps,Wps,Ib'],
    build(u, dst, src) {
      begin(u);
      const b = u.let(readVector(u, src));
      const known = knownLanes(u);
      if (known) {
        const [k, l, m, n] = known;
        u.writeV(dst, shuffleUnits(4, u.readV(dst), b, [k, l, 4 + m, 4 + n]));
        return;
      }
      const lanes = u.let(fourLanes(u, 4));
      const low = simd('i8x16.swizzle', u.readV(dst), simd('v128.or', lanes, NOT_LOW));
      u.writeV(dst, simd('v128.or', low, simd('i8x16.swizzle', b, simd('v128.or', lanes, NOT_HIGH))));
    },
  },
  {
    name: 'SHUFPD',
    forms: ['66 0F C6 /r Vpd,Wpd,Ib'],
    build(u, dst, src) {
      begin(u);
      const b = u.let(readVector(u, src));
      const known = imm8(u).known;
      if (known !== undefined) {
        u.writeV(dst, shuffleUnits(8, u.readV(dst), b, [known & 1, 2 + ((known >> 1) & 1)]));
        return;
      }
      const bit = (n: number): I32 => imm8(u).shrU(n).and(1);
      const high = u.let(bit(1).select(lane64(b, 1), lane64(b, 0)));
      const low = u.let(readLaneAt(u, dst, 64, bit(0)));
      u.writeLane(dst, 64, 0, low);
      u.writeLane(dst, 64, 1, high);
    },
  },
  insert(
    'PINSRW',
    ['66 0F C4 /r Vdq,Rd,Ib', '66 0F C4 /r Vdq,Mw,Ib', 'NP 0F C4 /r Pq,Rd,Ib', 'NP 0F C4 /r Pq,Mw,Ib'],
    16,
  ),
  insert('PINSRB', ['66 0F 3A 20 /r Vdq,Rd,Ib', '66 0F 3A 20 /r Vdq,Mb,Ib'], 8),
  insert('PINSRD', ['66 0F 3A 22 /r Vdq,Ed,Ib W0'], 32),
  insert('PINSRQ', ['66 0F 3A 22 /r Vdq,Eq,Ib W1'], 64),
  extract(
    'PEXTRW',
    ['66 0F C5 /r Gd,Udq,Ib', 'NP 0F C5 /r Gd,Nq,Ib', '66 0F 3A 15 /r Rd,Vdq,Ib', '66 0F 3A 15 /r Mw,Vdq,Ib'],
    16,
  ),
  extract('PEXTRB', ['66 0F 3A 14 /r Rd,Vdq,Ib', '66 0F 3A 14 /r Mb,Vdq,Ib'], 8),
  extract('PEXTRD', ['66 0F 3A 16 /r Ed,Vdq,Ib W0'], 32),
  extract('PEXTRQ', ['66 0F 3A 16 /r Eq,Vdq,Ib W1'], 64),
  extract('EXTRACTPS', ['66 0F 3A 17 /r Ed,Vdq,Ib'], 32),
  {
    // Immediate: source lane 7:6 (of a register), destination lane 5:4, lanes to clear 3:0.
    name: 'INSERTPS',
    forms: ['66 0F 3A 21 /r Vps,Ups,Ib', '66 0F 3A 21 /r Vps,Md,Ib'],
    build(u, dst, src) {
      begin(u);
      const imm = u.let(imm8(u));
      const value = u.let(src.kind === 'm' ? u.read(src, 32) : readLaneAt(u, src, 32, imm.shrU(6)));
      writeLaneAt(u, dst, 32, imm.shrU(4).and(3), value);
      for (let n = 0; n < 4; n++) u.code.if(imm.shrU(n).and(1), () => u.writeLane(dst, 32, n, I64.of(0)));
    },
  },
  {
    name: 'PMOVMSKB',
    forms: ['66 0F D7 /r Gd,Udq', 'NP 0F D7 /r Gd,Nq'],
    build(u, dst, src) {
      begin(u, src);
      u.write(dst, reduce('i8x16.bitmask', readVector(u, src)).extendU());
      if (src.kind === 'q') enterMmx(u);
    },
  },
];

export const sseShuffle: InstructionGroup = { instructions };
