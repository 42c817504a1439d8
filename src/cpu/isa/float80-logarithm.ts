import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { BIAS, INTEGER_BIT, setResult } from './float80.ts';
import { constant, fixed, type Float80Wide, type Pair, shiftRight, WideCode } from './float80-wide.ts';

const { i32, i64 } = ValType;

/** 2 ln 2 and 1 / ln 2 as 1.127. */
const TWICE_LN2 = constant(0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6afn);
const INVERSE_LN2 = constant(0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89n);
/** Above the square root of 2 a significand is halved, so that its logarithm is at most 1/2 in magnitude. */
const SQRT_2 = 0xb504_f333_f9de_6484n;

const factorial = (n: number): bigint => (n <= 1 ? 1n : BigInt(n) * factorial(n - 1));
/** (e^t - 1) / t, t < ln 2 */
const EXPONENTIAL = Array.from({ length: 28 }, (_, k) => fixed(1n, factorial(k + 1)));
/** atanh(s) / s in s^2, s < 0.1716 */
const AREA_TANGENT = Array.from({ length: 23 }, (_, k) => fixed(1n, BigInt(2 * k + 1)));

export interface Float80Logarithm {
  /** (vcpu, sign, exponent, sig) → exceptions: 2^x - 1 for 0 < |x| < 1 */
  readonly exponential: Fn<typeof i32>;
  /** (vcpu, signY, sigY, exponentX, sigX, exponentY) → exceptions: y log2(x), both normalized, x positive */
  readonly timesLogarithm: Fn<typeof i32>;
  /** (vcpu, signY, sigY, signX, sigX, exponentX, exponentY) → exceptions: y log2(1 + x), |x| < 1 */
  readonly timesLogarithmPlusOne: Fn<typeof i32>;
}

export function defineFloat80Logarithm(m: ModuleBuilder, wide: Float80Wide): Float80Logarithm {
  const exponential = m.function('f80Exponential', [i32, i32, i32, i64], i32, (c) => {
    const w = new WideCode(c, c.param(i32, 0), wide);
    const negative = c.let(c.param(i32, 1).shrU(15));
    w.scale(c.param(i32, 2).sub(BIAS + 1), { high: c.param(i64, 3), low: I64.of(0) }, TWICE_LN2);
    const t = w.value();
    const sum = w.series(EXPONENTIAL, w.fraction(t.exp, t), negative.extendU().neg());
    w.scale(t.exp, t, sum);
    c.returnCall(wide.round, w.vcpu, negative.shl(15));
    c.unreachable();
  });

  /** (vcpu, exponent, n, d): the floating number becomes log2 of (1 + s) / (1 - s), s = n / d * 2^exponent. */
  const ofRatio = m.function('f80LogarithmOfRatio', [i32, i32, i64, i64, i64, i64], undefined, (c) => {
    const w = new WideCode(c, c.param(i32, 0), wide);
    w.normalize(I32.of(0), { high: c.param(i64, 4), low: c.param(i64, 5) });
    const d = w.value();
    w.normalize(c.param(i32, 1), { high: c.param(i64, 2), low: c.param(i64, 3) });
    const n = w.value();
    w.divide(n.exp.sub(d.exp), n, d);
    const s = w.value();
    const z = shiftRight(c, w.multiply(s, s), I32.of(-2).sub(s.exp.shl(1)));
    w.scale(s.exp, s, w.series(AREA_TANGENT, z, I64.of(0)));
    const half = w.value();
    w.scale(half.exp.add(1), half, INVERSE_LN2);
  });

  const significand = (sig: I64): Pair => ({ high: sig, low: I64.of(0) });

  const timesLogarithm = m.function('f80TimesLogarithm', [i32, i32, i64, i32, i64, i32], i32, (c) => {
    const [vcpu, seY, sigY, sigX, expY] = [
      c.param(i32, 0),
      c.param(i32, 1),
      c.param(i64, 2),
      c.param(i64, 4),
      c.param(i32, 5),
    ];
    const w = new WideCode(c, vcpu, wide);
    const halved = c.let(sigX.gtU(SQRT_2));
    const exponent = c.let(c.param(i32, 3).sub(BIAS).add(halved));
    const power = c.let(sigX.eq(INTEGER_BIT));
    c.if(power.eqz(), () => {
      // (m - 1) / (m + 1), in units of 2^-63 or, halved, of 2^-64.
      const n = halved.select(sigX.neg(), sigX.and(INTEGER_BIT - 1n));
      const sum = halved.select(sigX, sigX.and(INTEGER_BIT - 1n));
      c.do(ofRatio, vcpu, I32.of(0), I64.of(0), n, I64.of(1), sum);
    });
    const negative = c.variable(i32, halved);
    c.if(exponent.ne(0), () => {
      const size = c.let(exponent.ltS(0).select(I32.of(0).sub(exponent), exponent));
      const whole = c.let(size.extendU().shl(48));
      c.if(
        power,
        () => w.normalize(I32.of(15), significand(whole)),
        () => {
          const part = w.value();
          const mantissa = shiftRight(c, part, I32.of(15).sub(part.exp));
          const mask = c.let(exponent.ltS(0).xor(halved).extendU().neg());
          const low = c.let(mantissa.low.xor(mask));
          w.normalize(I32.of(15), { high: whole.add(mantissa.high.xor(mask)), low });
        },
      );
      negative.set(exponent.ltS(0));
    });
    c.if(exponent.eqz().and(power), () => {
      setResult(c, vcpu, seY.and(0x8000), 0n);
      c.return(I32.of(0));
    });
    const logarithm = w.value();
    w.scale(logarithm.exp.add(expY).sub(BIAS), logarithm, significand(sigY));
    c.returnCall(wide.round, vcpu, seY.and(0x8000).xor(negative.get.shl(15)));
    c.unreachable();
  });

  const timesLogarithmPlusOne = m.function(
    'f80TimesLogarithmPlusOne',
    [i32, i32, i64, i32, i64, i32, i32],
    i32,
    (c) => {
      const [vcpu, seY, sigY, seX, sigX] = [
        c.param(i32, 0),
        c.param(i32, 1),
        c.param(i64, 2),
        c.param(i32, 3),
        c.param(i64, 4),
      ];
      const exponent = c.let(c.param(i32, 5).sub(BIAS));
      const w = new WideCode(c, vcpu, wide);
      // x / (2 + x): the sum with 2 = 2^126 * 2^-125, so that it has room above.
      const negative = c.let(seX.shrU(15));
      const shifted = shiftRight(c, significand(sigX), I32.of(2).sub(exponent));
      const mask = c.let(negative.extendU().neg());
      const sum = shifted.high.xor(mask).add(1n << 62n);
      c.do(ofRatio, vcpu, exponent.sub(2), sigX, I64.of(0), sum, shifted.low.xor(mask));
      const logarithm = w.value();
      w.scale(logarithm.exp.add(c.param(i32, 6)).sub(BIAS), logarithm, significand(sigY));
      c.returnCall(wide.round, vcpu, seY.xor(seX).and(0x8000));
      c.unreachable();
    },
  );

  return { exponential, timesLogarithm, timesLogarithmPlusOne };
}
