import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { lane32, lowLane32, shuffleUnits, simd, withLane32, ZERO } from '../wasm/simd.ts';
import { I32, type V128 } from '../wasm/value.ts';
import { begin, imm8 } from './sse-operands.ts';

/** Words of a vector as locals, lowest first. */
const words = (u: Semantics, v: V128): [I32, I32, I32, I32] => {
  const w = (n: number): I32 => u.let(lane32(v, n));
  return [w(0), w(1), w(2), w(3)];
};
const vector = (a: I32, b: I32, c: I32, d: I32): V128 =>
  withLane32(withLane32(withLane32(lowLane32(a), 1, b), 2, c), 3, d);

/** FIPS 180-4, "SHA-1 Functions" and "SHA-1 Constants", by the quarter of the 80 rounds. */
const choose = (x: I32, y: I32, z: I32): I32 => x.and(y.xor(z)).xor(z);
const parity = (x: I32, y: I32, z: I32): I32 => x.xor(y).xor(z);
const majority = (x: I32, y: I32, z: I32): I32 => x.and(y).or(z.and(x.or(y)));
const SHA1_CONSTANTS = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc | 0, 0xca62_c1d6 | 0] as const;

/** FIPS 180-4, "SHA-224 and SHA-256 Functions". */
const rotations = (x: I32, a: number, b: number, c: number): I32 => x.rotr(a).xor(x.rotr(b)).xor(x.rotr(c));
const bigSigma0 = (x: I32): I32 => rotations(x, 2, 13, 22);
const bigSigma1 = (x: I32): I32 => rotations(x, 6, 11, 25);
const smallSigma0 = (x: I32): I32 => x.rotr(7).xor(x.rotr(18)).xor(x.shrU(3));
const smallSigma1 = (x: I32): I32 => x.rotr(17).xor(x.rotr(19)).xor(x.shrU(10));

/**
 * `combine` gets the destination's and the source's words; the highest words come first in time. Departs from SDM Vol. 2B, "SHA1MSG1" and its kin: memory
 * operands need no alignment, as on AMD processors. No program depends on the fault.
 */
const sha = (name: string, form: string, combine: (u: Semantics, a: V128, b: V128) => V128): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    const b = u.let(u.readV(src));
    const a = u.let(u.readV(dst));
    u.writeV(dst, combine(u, a, b));
  },
});

const instructions: Instruction[] = [
  sha('SHA1NEXTE', 'NP 0F 38 C8 /r Vdq,Wdq', (_u, a, b) =>
    simd('i32x4.add', b, withLane32(ZERO, 3, lane32(a, 3).rotl(30))),
  ),
  sha('SHA1MSG1', 'NP 0F 38 C9 /r Vdq,Wdq', (_u, a, b) => simd('v128.xor', a, shuffleUnits(8, a, b, [3, 0]))),
  sha('SHA1MSG2', 'NP 0F 38 CA /r Vdq,Wdq', (u, a, b) => {
    const [a0, a1, a2, a3] = words(u, a);
    const [b0, b1, b2] = words(u, b);
    const w16 = u.let(a3.xor(b2).rotl(1));
    return vector(a0.xor(w16).rotl(1), a1.xor(b0).rotl(1), a2.xor(b1).rotl(1), w16);
  }),
  sha('SHA256MSG1', 'NP 0F 38 CC /r Vdq,Wdq', (u, a, b) => {
    const [a0, a1, a2, a3] = words(u, a);
    const b0 = u.let(lane32(b, 0));
    return vector(a0.add(smallSigma0(a1)), a1.add(smallSigma0(a2)), a2.add(smallSigma0(a3)), a3.add(smallSigma0(b0)));
  }),
  sha('SHA256MSG2', 'NP 0F 38 CD /r Vdq,Wdq', (u, a, b) => {
    const [a0, a1, a2, a3] = words(u, a);
    const [, , b2, b3] = words(u, b);
    const w16 = u.let(a0.add(smallSigma1(b2)));
    const w17 = u.let(a1.add(smallSigma1(b3)));
    return vector(w16, w17, a2.add(smallSigma1(w16)), a3.add(smallSigma1(w17)));
  }),
  {
    name: 'SHA1RNDS4',
    forms: ['NP 0F 3A CC /r Vdq,Wdq,Ib'],
    build(u, dst, src) {
      begin(u);
      const message = words(u, u.let(u.readV(src)));
      const [d0, c0, b0, a0] = words(u, u.let(u.readV(dst)));
      const quarter = u.let(imm8(u).and(3));
      const constant = u.let(
        SHA1_CONSTANTS.reduce((k: I32, value, n) => quarter.eq(n).select(I32.of(value), k), I32.of(0)),
      );
      let [a, b, c, d, e] = [a0, b0, c0, d0, I32.of(0)];
      for (const word of [...message].reverse()) {
        const f = quarter.eqz().select(choose(b, c, d), quarter.eq(2).select(majority(b, c, d), parity(b, c, d)));
        const next = u.let(f.add(a.rotl(5)).add(word).add(e).add(constant));
        [a, b, c, d, e] = [next, a, u.let(b.rotl(30)), c, d];
      }
      u.writeV(dst, vector(d, c, b, a));
    },
  },
  {
    // The state comes as (A B E F) in the source and (C D G H) in the destination; message words with constants in XMM0.
    name: 'SHA256RNDS2',
    forms: ['NP 0F 38 CB /r Vdq,Wdq'],
    build(u, dst, src) {
      begin(u);
      const [f0, e0, b0, a0] = words(u, u.let(u.readV(src)));
      const [h0, g0, d0, c0] = words(u, u.let(u.readV(dst)));
      let [a, b, c, d, e, f, g, h] = [a0, b0, c0, d0, e0, f0, g0, h0];
      for (let round = 0; round < 2; round++) {
        const word = lane32(u.xmm(0), round);
        const t = u.let(
          h
            .add(bigSigma1(e))
            .add(choose(e, f, g))
            .add(word),
        );
        const next = u.let(t.add(bigSigma0(a)).add(majority(a, b, c)));
        [a, b, c, d, e, f, g, h] = [next, a, b, c, u.let(d.add(t)), e, f, g];
      }
      u.writeV(dst, vector(f, e, b, a));
    },
  },
];

export const shaGroup: InstructionGroup = { instructions };
