import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import { lane64, lowLane64, withLane64 } from '../wasm/simd.ts';
import { I64, ValType } from '../wasm/value.ts';
import { begin, callHelper, imm8, readLaneAt, typed } from './sse-operands.ts';

const { i64, v128 } = ValType;

/** Every fourth bit, from bit n on. */
const every4th = (n: number): bigint => 0x1111_1111_1111_1111n << BigInt(n);

/**
 * (a, b) → carry-less product of two 32-bit numbers. Of each operand only every fourth bit takes part at a time, so that at most eight ones meet in one
 * place of an ordinary product and their carries stay within the three bits that are then masked off.
 */
const multiply32: Helper = {
  name: 'carrylessMultiply32',
  define: (m) =>
    m.function('carrylessMultiply32', [i64, i64], i64, (c) => {
      const parts = (v: I64): I64[] => [0, 1, 2, 3].map((n) => c.let(v.and(every4th(n) & 0xffff_ffffn)));
      const a = parts(c.param(i64, 0));
      const b = parts(c.param(i64, 1));
      const sums = [0, 1, 2, 3].map((n) => {
        const products = a.map((x, i) => x.mul(b[(n - i) & 3] ?? I64.of(0)));
        return products.reduce((x, y) => x.xor(y)).and(every4th(n));
      });
      c.return(sums.reduce((x, y) => x.or(y)));
      c.unreachable();
    }),
};

/** (a, b) → 128-bit carry-less product (Karatsuba's three multiplications). */
const multiply64: Helper = {
  name: 'carrylessMultiply64',
  define: (m, { helper }) =>
    m.function('carrylessMultiply64', [i64, i64], v128, (c) => {
      const half = typed(helper('carrylessMultiply32'), i64);
      const low = (v: I64): I64 => v.and(0xffff_ffff);
      const [a, b] = [c.param(i64, 0), c.param(i64, 1)];
      const lower = c.let(c.call(half, low(a), low(b)));
      const upper = c.let(c.call(half, a.shrU(32), b.shrU(32)));
      const both = c.let(c.call(half, low(a).xor(a.shrU(32)), low(b).xor(b.shrU(32))));
      const middle = c.let(both.xor(lower).xor(upper));
      c.return(withLane64(lowLane64(lower.xor(middle.shl(32))), 1, upper.xor(middle.shrU(32))));
      c.unreachable();
    }),
};

const instructions: Instruction[] = [
  {
    // Bits 0 and 4 of the immediate choose the halves.
    name: 'PCLMULQDQ',
    forms: ['66 0F 3A 44 /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const imm = u.let(imm8(u));
      const b = u.let(u.readV(src, true));
      const a = u.let(readLaneAt(u, dst, 64, imm.and(1)));
      const factor = imm.and(0x10).select(lane64(b, 1), lane64(b, 0));
      u.writeV(dst, callHelper(u, 'carrylessMultiply64', v128, a, factor));
    },
  },
];
export const pclmul: InstructionGroup = { helpers: [multiply32, multiply64], instructions };
