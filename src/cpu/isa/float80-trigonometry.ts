import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { BIAS } from './float80.ts';
import { constant, fixed, type Float80Wide, notLess, type Pair, shiftRight, Wide, WideCode } from './float80-wide.ts';

const { i32, i64 } = ValType;

/**
 * pi as the processor has it for argument reduction: 66 bits (SDM Vol. 1, "Approximation of Pi"; AMD's processors agree), here in units of 2^-64. Half
 * of it is the same number in units of 2^-65.
 */
const PI_66 = 0x3_243f_6a88_85a3_08d3n;
/** Below this magnitude, pi / 4, nothing is reduced. */
const QUARTER_PI = { exp: BIAS - 1, sig: 0xc90f_daa2_2168_c234n } as const;

const factorial = (n: number): bigint => (n <= 1 ? 1n : BigInt(n) * factorial(n - 1));
/** sin(r) / r and cos(r) as series in r^2 with alternating signs; enough of them for r <= pi / 4. */
const SINE = Array.from({ length: 15 }, (_, k) => fixed(1n, factorial(2 * k + 1)));
const COSINE = Array.from({ length: 16 }, (_, k) => fixed(1n, factorial(2 * k)));

export interface Float80Trigonometry {
  /** (vcpu, exponent, sig) → quadrant; the reduced argument becomes the floating number, negative when bit 2 of the quadrant is set. */
  readonly reduce: Fn<typeof i32>;
  /** (vcpu): the floating number r becomes sin(r) or cos(r). */
  readonly sine: Fn<undefined>;
  readonly cosine: Fn<undefined>;
  /** (vcpu, sign, exponent, sig, turns) → exceptions: sine for 0, cosine for 1; the operand is normalized and below 2^63. */
  readonly wave: Fn<typeof i32>;
  /** (vcpu, sign, exponent, sig) → exceptions */
  readonly tangent: Fn<typeof i32>;
}

export function defineFloat80Trigonometry(m: ModuleBuilder, wide: Float80Wide): Float80Trigonometry {
  const reduce = m.function('f80Reduce', [i32, i32, i64], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const exp = c.param(i32, 1);
    const sig = c.param(i64, 2);
    const w = new WideCode(c, vcpu, wide);
    c.if(exp.ltS(QUARTER_PI.exp).or(exp.eq(QUARTER_PI.exp).and(sig.leU(QUARTER_PI.sig))), () => {
      w.normalize(exp.sub(BIAS), { high: sig, low: I64.of(0) });
      c.return(I32.of(0));
    });
    // Division of sig * 2^(exponent + 2) by 2^65 * pi / 2, bit by bit; only the remainder and the quotient's last bits count.
    const half = constant(PI_66);
    const high = c.variable(i64, I64.of(0));
    const low = c.variable(i64, sig);
    const quotient = c.variable(i32, I32.of(0));
    const left = c.variable(i32, exp.sub(BIAS - 2));
    const reduceOnce = (): void => {
      high.set(high.get.sub(half.high).sub(low.get.ltU(half.low).extendU()));
      low.set(low.get.sub(half.low));
    };
    c.loop((_again, againIf) => {
      high.set(high.get.shl(1).or(low.get.shrU(63)));
      low.set(low.get.shl(1));
      quotient.set(quotient.get.shl(1));
      c.if(notLess({ high: high.get, low: low.get }, half), () => {
        reduceOnce();
        quotient.set(quotient.get.or(1));
      });
      left.set(left.get.sub(1));
      againIf(left.get.gtS(0));
    });
    // To the nearest multiple.
    const negative = c.let(notLess({ high: high.get.shl(1).or(low.get.shrU(63)), low: low.get.shl(1) }, half));
    c.if(negative, () => {
      reduceOnce();
      high.set(high.get.not().add(low.get.eqz().extendU()));
      low.set(low.get.neg());
    });
    w.normalize(I32.of(127 - 65), { high: high.get, low: low.get });
    c.return(quotient.get.add(negative).and(3).or(negative.shl(2)));
    c.unreachable();
  });

  /** Square of the floating number as a fraction: (high:low)^2 * 2^(2 exp - 254). */
  const squared = (w: WideCode): { r: Pair & { readonly exp: I32 }; z: Pair } => {
    const r = w.value();
    return { r, z: shiftRight(w.c, w.multiply(r, r), I32.of(-2).sub(r.exp.shl(1))) };
  };

  const sine = m.function('f80Sine', [i32], undefined, (c) => {
    const w = new WideCode(c, c.param(i32, 0), wide);
    const { r, z } = squared(w);
    w.scale(r.exp, r, w.series(SINE, z, I64.of(-1)));
    // Always a little below r, also where the series is 1.
    const result = w.value();
    w.normalize(result.exp, { high: result.high.sub(result.low.eqz().extendU()), low: result.low.sub(1) });
  });

  const cosine = m.function('f80Cosine', [i32], undefined, (c) => {
    const w = new WideCode(c, c.param(i32, 0), wide);
    const { z } = squared(w);
    const sum = w.series(COSINE, z, I64.of(-1));
    w.normalize(I32.of(0), { high: sum.high.sub(sum.low.eqz().extendU()), low: sum.low.sub(1) });
  });

  const wave = m.function('f80Wave', [i32, i32, i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const turns = c.param(i32, 4);
    const found = c.let(c.call(reduce, vcpu, c.param(i32, 2), c.param(i64, 3)));
    const quadrant = c.let(found.add(turns).and(3));
    c.if(
      quadrant.and(1),
      () => c.do(cosine, vcpu),
      () => c.do(sine, vcpu),
    );
    // The sine is odd in the operand and in the reduced argument, the cosine is even in both.
    const reducedSign = quadrant.and(1).eqz().and(found.shrU(2));
    const operandSign = turns.eqz().and(c.param(i32, 1).shrU(15));
    const sign = quadrant.shrU(1).xor(reducedSign).xor(operandSign).and(1);
    c.returnCall(wide.round, vcpu, sign.shl(15));
    c.unreachable();
  });

  const tangent = m.function('f80Tangent', [i32, i32, i32, i64], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const w = new WideCode(c, vcpu, wide);
    const quadrant = c.let(c.call(reduce, vcpu, c.param(i32, 2), c.param(i64, 3)));
    const r = w.value();
    const tangentSign = c.let(quadrant.xor(quadrant.shrU(2)).xor(c.param(i32, 1).shrU(15)).and(1).shl(15));
    // Tangents of tiny angles are a little more than the angle, by less than a significand of 128 bits shows.
    c.if(r.exp.ltS(-64).and(quadrant.and(1).eqz()), () => c.returnCall(wide.round, vcpu, tangentSign));
    c.do(sine, vcpu);
    const s = w.value();
    c.store32(vcpu, r.exp, Wide.exp);
    c.store64(vcpu, r.high, Wide.sig);
    c.store64(vcpu, r.low, Wide.sigLow);
    c.do(cosine, vcpu);
    const k = w.value();
    c.if(
      quadrant.and(1),
      () => w.divide(k.exp.sub(s.exp), k, s),
      () => w.divide(s.exp.sub(k.exp), s, k),
    );
    c.returnCall(wide.round, vcpu, tangentSign);
    c.unreachable();
  });

  return { reduce, sine, cosine, wave, tangent };
}
