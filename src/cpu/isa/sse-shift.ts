import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { IOTA, shuffle, simd, type VectorOp, ZERO } from '../wasm/simd.ts';
import { I32, type V128 } from '../wasm/value.ts';
import { begin, imm8, low64, readLow, readVector, writeVector } from './sse-operands.ts';

/** Shifts of each lane by one count: counts beyond the lane give zeros, or copies of the sign. */
const laneShift = (
  name: string,
  lane: 16 | 32 | 64,
  wasm: VectorOp,
  opcode: string,
  group: string,
  digit: number,
): Instruction => ({
  name,
  forms: [
    `66 0F ${opcode} /r Vdq,Wdq`,
    `NP 0F ${opcode} /r Pq,Qq`,
    `66 0F ${group} /${digit} Udq,Ib`,
    `NP 0F ${group} /${digit} Nq,Ib`,
  ],
  build(u, dst, src) {
    begin(u, dst);
    const count = u.let(
      src.kind === 'i' ? u.immediate() : src.kind === 'm' ? low64(readVector(u, src)) : readLow(u, src, 64),
    );
    const a = u.let(readVector(u, dst));
    const arithmetic = wasm.endsWith('shr_s');
    const within = u.let(count.ltU(lane));
    if (arithmetic) {
      // All counts beyond the lane are alike.
      writeVector(u, dst, simd(wasm, a, within.select(count.wrap(), I32.of(lane - 1))));
    } else writeVector(u, dst, within.select(simd(wasm, a, count.wrap()), ZERO));
  },
});

/** Byte shifts of the whole register: a swizzle whose indexes beyond 15 give zeros. */
const byteShift = (name: string, digit: number, direction: 'i8x16.add' | 'i8x16.sub'): Instruction => ({
  name,
  forms: [`66 0F 73 /${digit} Udq,Ib`],
  build(u, dst) {
    begin(u);
    const count = u.let(imm8(u));
    const bounded = count.ltU(16).select(count, I32.of(16));
    if (bounded.known !== undefined) {
      const by = direction === 'i8x16.add' ? bounded.known : -bounded.known;
      u.writeV(dst, moved(u.readV(dst), ZERO, by));
      return;
    }
    u.writeV(dst, simd('i8x16.swizzle', u.readV(dst), simd(direction, IOTA, simd('i8x16.splat', bounded))));
  },
});

/** Sixteen bytes of two vectors side by side, from byte `by` of the first on; before its begin is the first byte of the second. */
const moved = (v: V128, beside: V128, by: number): V128 =>
  shuffle(
    v,
    beside,
    Array.from({ length: 16 }, (_, i) => (i + by < 0 ? 16 : i + by)),
  );

const instructions: Instruction[] = [
  laneShift('PSRLW', 16, 'i16x8.shr_u', 'D1', '71', 2),
  laneShift('PSRLD', 32, 'i32x4.shr_u', 'D2', '72', 2),
  laneShift('PSRLQ', 64, 'i64x2.shr_u', 'D3', '73', 2),
  laneShift('PSRAW', 16, 'i16x8.shr_s', 'E1', '71', 4),
  laneShift('PSRAD', 32, 'i32x4.shr_s', 'E2', '72', 4),
  laneShift('PSLLW', 16, 'i16x8.shl', 'F1', '71', 6),
  laneShift('PSLLD', 32, 'i32x4.shl', 'F2', '72', 6),
  laneShift('PSLLQ', 64, 'i64x2.shl', 'F3', '73', 6),
  byteShift('PSRLDQ', 3, 'i8x16.add'),
  byteShift('PSLLDQ', 7, 'i8x16.sub'),
  {
    // Two operands side by side, the first above, shifted right by bytes.
    name: 'PALIGNR',
    forms: ['66 0F 3A 0F /r Vdq,Wdq,Ib', 'NP 0F 3A 0F /r Pq,Qq,Ib'],
    build(u, dst, src) {
      begin(u, dst);
      const b = u.let(readVector(u, src));
      const a = u.let(readVector(u, dst));
      const count = u.let(imm8(u));
      if (dst.kind === 'x' && count.known !== undefined) {
        const by = Math.min(count.known, 32);
        u.writeV(dst, by <= 16 ? moved(b, a, by) : moved(a, ZERO, by - 16));
        return;
      }
      const bounded = simd('i8x16.splat', count.ltU(32).select(count, I32.of(32)));
      const low = u.let(simd('i8x16.add', IOTA, bounded));
      const size = dst.kind === 'q' ? 8 : 16;
      // MMX: bytes 8…15 of b are zeros; those of a must not be reached from below, its index wraps beyond 15.
      const high = simd('i8x16.sub', low, simd('i8x16.splat', I32.of(size)));
      writeVector(u, dst, simd('v128.or', simd('i8x16.swizzle', b, low), simd('i8x16.swizzle', a, high)));
    },
  },
];

export const sseShift: InstructionGroup = { instructions };
