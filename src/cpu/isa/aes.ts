import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { shuffle, simd, splat, vectorOf } from '../wasm/simd.ts';
import { I32, type V128, ValType } from '../wasm/value.ts';
import { begin, callHelper, imm8, readVector } from './sse-operands.ts';

const { v128 } = ValType;

/** Multiplication by x in GF(2^8) with AES's polynomial (FIPS 197, "Multiplication"). */
const xtime = (x: number): number => ((x << 1) ^ (x & 0x80 ? 0x11b : 0)) & 0xff;

/** FIPS 197, "SUBBYTES": the inverse in the field, then an affine map. The powers of 3 run through all numbers but 0. */
function substitution(): { forward: number[]; inverse: number[] } {
  const powers = [1];
  for (let i = 1; i < 255; i++) powers.push(xtime(powers[i - 1] ?? 0) ^ (powers[i - 1] ?? 0));
  const reciprocals = [0];
  powers.forEach((x, i) => (reciprocals[x] = powers[(255 - i) % 255] ?? 0));
  const forward = reciprocals.map((r) => [0, 1, 2, 3, 4].reduce((y, i) => y ^ (r << i) ^ (r >> (8 - i)), 0x63) & 0xff);
  const inverse: number[] = [];
  forward.forEach((y, x) => (inverse[y] = x));
  return { forward, inverse };
}

/** (v) → each byte replaced: sixteen swizzles, each of which knows the bytes of one row and gives zero for the others. */
const substitute = (name: string, table: readonly number[]): Helper => ({
  name,
  define: (m) =>
    m.function(name, [v128], v128, (c) => {
      const index = c.variable(v128, c.param(v128, 0));
      const result = c.variable(v128, simd('i8x16.swizzle', vectorOf(table.slice(0, 16)), index.get));
      for (let row = 1; row < 16; row++) {
        index.set(simd('i8x16.sub', index.get, splat(8, 16)));
        const found = simd('i8x16.swizzle', vectorOf(table.slice(16 * row, 16 * row + 16)), index.get);
        result.set(simd('v128.or', result.get, found));
      }
      c.return(result.get);
      c.unreachable();
    }),
});

/** Every byte times x. */
const doubled = (v: V128): V128 =>
  simd(
    'v128.xor',
    simd('i8x16.shl', v, I32.of(1)),
    simd('v128.and', simd('i8x16.shr_s', v, I32.of(7)), splat(8, 0x1b)),
  );

/** Bytes of each column moved up by n. */
const rotate = (v: V128, n: number): V128 =>
  shuffle(
    v,
    v,
    Array.from({ length: 16 }, (_, i) => (i & ~3) | ((i + n) & 3)),
  );

/** MIXCOLUMNS: (2 3 1 1) in each column. */
function mixColumns(u: Semantics, v: V128): V128 {
  const a = u.let(v);
  const next = u.let(rotate(a, 1));
  const both = u.let(simd('v128.xor', a, next));
  const others = simd('v128.xor', next, rotate(both, 2));
  return simd('v128.xor', doubled(both), others);
}

/** INVMIXCOLUMNS: (14 11 13 9) is (2 3 1 1) times (5 0 4 0). */
function inverseMixColumns(u: Semantics, v: V128): V128 {
  const a = u.let(v);
  const opposite = u.let(simd('v128.xor', a, rotate(a, 2)));
  const twice = u.let(doubled(opposite));
  return mixColumns(u, simd('v128.xor', a, doubled(twice)));
}

/** Row r of the state moves by r columns; the state lies column by column. */
const SHIFT_ROWS = Array.from({ length: 16 }, (_, i) => (i + 4 * (i & 3)) & 15);
const INVERSE_SHIFT_ROWS = Array.from({ length: 16 }, (_, i) => (i - 4 * (i & 3)) & 15);

type Mix = ((u: Semantics, v: V128) => V128) | undefined;

const round = (name: string, opcode: string, rows: readonly number[], box: string, mix: Mix): Instruction => ({
  name,
  forms: [`66 0F 38 ${opcode} /r Vdq,Wdq`],
  build(u, dst, src) {
    begin(u);
    const key = u.let(readVector(u, src));
    const state = u.let(u.readV(dst));
    const substituted = callHelper(u, box, v128, shuffle(state, state, rows));
    u.writeV(dst, simd('v128.xor', mix ? mix(u, substituted) : substituted, key));
  },
});

const instructions: Instruction[] = [
  round('AESENC', 'DC', SHIFT_ROWS, 'aesSubBytes', mixColumns),
  round('AESENCLAST', 'DD', SHIFT_ROWS, 'aesSubBytes', undefined),
  round('AESDEC', 'DE', INVERSE_SHIFT_ROWS, 'aesInvSubBytes', inverseMixColumns),
  round('AESDECLAST', 'DF', INVERSE_SHIFT_ROWS, 'aesInvSubBytes', undefined),
  {
    name: 'AESIMC',
    forms: ['66 0F 38 DB /r Vdq,Wdq'],
    build(u, dst, src) {
      begin(u);
      u.writeV(dst, inverseMixColumns(u, readVector(u, src)));
    },
  },
  {
    // From words 1 and 3: the substituted word, and it rotated with the round constant.
    name: 'AESKEYGENASSIST',
    forms: ['66 0F 3A DF /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const s = callHelper(u, 'aesSubBytes', v128, readVector(u, src));
      const words = shuffle(s, s, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
      const constant = simd('i64x2.shl', simd('i64x2.splat', imm8(u).extendU()), I32.of(32));
      u.writeV(dst, simd('v128.xor', words, constant));
    },
  },
];

const { forward, inverse } = substitution();
export const aes: InstructionGroup = {
  helpers: [substitute('aesSubBytes', forward), substitute('aesInvSubBytes', inverse)],
  instructions,
};
