import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';
import { BIAS, FULL_PRECISION } from './float80.ts';
import type { Float80Core } from './float80-core.ts';
import type { Float80Rounding } from './float80-rounding.ts';

/*
 * 128-bit arithmetic for the transcendental functions, which need more bits inside than they give. Two kinds of numbers, each a pair of i64:
 *   floating  a significand with its top bit set and an exponent: (high:low) * 2^(exponent - 127), 1 <= value / 2^exponent < 2
 *   fixed     a fraction of 128 bits, or with one bit before the point (1.127)
 * Errors are a few units in the last place, 2^-120 at most in the end; results are then rounded to 64 bits.
 */

const { i32, i64 } = ValType;

/** Scratch memory of these functions, after `Result`. */
export const Wide = {
  /** Lower half of what a function returns. */
  low: S.scratch + 16,
  /** The floating number that `normalize` made. */
  exp: S.scratch + 24,
  quadrant: S.scratch + 28,
  sig: S.scratch + 32,
  sigLow: S.scratch + 40,
  /** A series under evaluation, 1.127. */
  sum: S.scratch + 48,
  sumLow: S.scratch + 56,
} as const;

/** A pair of locals. */
export interface Pair {
  readonly high: I64;
  readonly low: I64;
}

export const constant = (value: bigint): Pair => ({
  high: I64.of(BigInt.asIntN(64, value >> 64n)),
  low: I64.of(BigInt.asIntN(64, value)),
});

/** A ratio as 1.127. */
export const fixed = (numerator: bigint, denominator: bigint): bigint => ((numerator << 128n) / denominator + 1n) >> 1n;

export interface Float80Wide {
  /** (vcpu, aHigh, aLow, bHigh, bLow) → upper 128 bits of the product */
  readonly multiply: Fn<typeof i64>;
  /** (vcpu, nHigh, nLow, dHigh, dLow) → n * 2^128 / d; n < d, and d has its top bit set */
  readonly divide: Fn<typeof i64>;
  /** (vcpu, exponent, high, low): makes a floating number of (high:low) * 2^(exponent - 127) */
  readonly normalize: Fn<undefined>;
  /** (vcpu, zHigh, zLow, cHigh, cLow, mask): sum := c + sum * z, or with mask -1: c - sum * z; z is a fraction */
  readonly step: Fn<undefined>;
  /** (vcpu, sign) → exceptions: rounds the floating number, which counts as inexact. */
  readonly round: Fn<typeof i32>;
}

export function defineFloat80Wide(m: ModuleBuilder, core: Float80Core, { roundPack }: Float80Rounding): Float80Wide {
  const pairs = [i32, i64, i64, i64, i64];

  const multiply = m.function('f80WideMultiply', pairs, i64, (c) => {
    const [vcpu, aHigh, aLow, bHigh, bLow] = [
      c.param(i32, 0),
      c.param(i64, 1),
      c.param(i64, 2),
      c.param(i64, 3),
      c.param(i64, 4),
    ];
    const first = c.let(aHigh.mul(bHigh));
    const second = c.let(first.add(c.call(core.multiplyHigh, aHigh, bLow)));
    const third = c.let(second.add(c.call(core.multiplyHigh, aLow, bHigh)));
    c.store64(vcpu, third, Wide.low);
    c.return(c.call(core.multiplyHigh, aHigh, bHigh).add(second.ltU(first).extendU()).add(third.ltU(second).extendU()));
    c.unreachable();
  });

  const divide = m.function('f80WideDivide', pairs, i64, (c) => {
    const vcpu = c.param(i32, 0);
    const high = c.variable(i64, c.param(i64, 1));
    const low = c.variable(i64, c.param(i64, 2));
    const [dHigh, dLow] = [c.param(i64, 3), c.param(i64, 4)];
    const quotient = c.variable(i64, I64.of(0));
    const quotientLow = c.variable(i64, I64.of(0));
    const left = c.variable(i32, I32.of(128));
    c.loop((_again, againIf) => {
      const carry = c.let(high.get.ltS(0));
      high.set(high.get.shl(1).or(low.get.shrU(63)));
      low.set(low.get.shl(1));
      quotient.set(quotient.get.shl(1).or(quotientLow.get.shrU(63)));
      quotientLow.set(quotientLow.get.shl(1));
      c.if(carry.or(notLess({ high: high.get, low: low.get }, { high: dHigh, low: dLow })), () => {
        high.set(high.get.sub(dHigh).sub(low.get.ltU(dLow).extendU()));
        low.set(low.get.sub(dLow));
        quotientLow.set(quotientLow.get.or(1));
      });
      left.set(left.get.sub(1));
      againIf(left.get);
    });
    c.store64(vcpu, quotientLow.get, Wide.low);
    c.return(quotient.get);
    c.unreachable();
  });

  const normalize = m.function('f80WideNormalize', [i32, i32, i64, i64], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const exp = c.variable(i32, c.param(i32, 1));
    const high = c.variable(i64, c.param(i64, 2));
    const low = c.variable(i64, c.param(i64, 3));
    c.if(high.get.eqz(), () => {
      high.set(low.get);
      low.set(I64.of(0));
      exp.set(exp.get.sub(64));
    });
    const by = c.let(high.get.clz());
    c.if(by.eqz().eqz(), () => {
      high.set(high.get.shl(by).or(low.get.shrU(I64.of(64).sub(by))));
      low.set(low.get.shl(by));
      exp.set(exp.get.sub(by.wrap()));
    });
    c.store32(vcpu, exp.get, Wide.exp);
    c.store64(vcpu, high.get, Wide.sig);
    c.store64(vcpu, low.get, Wide.sigLow);
  });

  const step = m.function('f80WideStep', [i32, i64, i64, i64, i64, i64], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const mask = c.param(i64, 5);
    const product = c.call(
      multiply,
      vcpu,
      vcpu.load64(Wide.sum),
      vcpu.load64(Wide.sumLow),
      c.param(i64, 1),
      c.param(i64, 2),
    );
    // Complement instead of negation: one unit in the last place is below the error that is allowed anyway.
    const high = c.let(product.xor(mask));
    const low = c.let(vcpu.load64(Wide.low).xor(mask));
    const sumLow = c.let(low.add(c.param(i64, 4)));
    c.store64(vcpu, high.add(c.param(i64, 3)).add(sumLow.ltU(low).extendU()), Wide.sum);
    c.store64(vcpu, sumLow, Wide.sumLow);
  });

  const round = m.function('f80WideRound', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const exponent = vcpu.load32(Wide.exp).add(BIAS);
    const rest = vcpu.load64(Wide.sigLow).or(1);
    c.returnCall(roundPack, vcpu, c.param(i32, 1), exponent, vcpu.load64(Wide.sig), rest, I32.of(FULL_PRECISION));
    c.unreachable();
  });

  return { multiply, divide, normalize, step, round };
}

export const notLess = (a: Pair, b: Pair): I32 => a.high.gtU(b.high).or(a.high.eq(b.high).and(a.low.geU(b.low)));

/** (high:low) >> by, by in 0…; what is shifted out is lost. */
export function shiftRight(c: Code, value: Pair, by: I32): Pair {
  const high = c.variable(i64, value.high);
  const low = c.variable(i64, value.low);
  const count = c.variable(i32, by);
  c.if(count.get.geU(64), () => {
    low.set(high.get);
    high.set(I64.of(0));
    count.set(count.get.sub(64));
    c.if(count.get.geU(64), () => low.set(I64.of(0)));
  });
  // A shift by 0 must not bring the upper half into the lower one: hence in two steps.
  const n = c.let(count.get.and(63).extendU());
  low.set(low.get.shrU(n).or(high.get.shl(1).shl(I64.of(63).sub(n))));
  high.set(high.get.shrU(n));
  return { high: high.get, low: low.get };
}

/** What the calls on one vCPU in one function look like. */
export class WideCode {
  readonly c: Code;
  readonly vcpu: I32;
  readonly wide: Float80Wide;
  constructor(c: Code, vcpu: I32, wide: Float80Wide) {
    this.c = c;
    this.vcpu = vcpu;
    this.wide = wide;
  }
  /** The floating number in scratch memory, as locals. */
  value(): Pair & { readonly exp: I32 } {
    const { c, vcpu } = this;
    return {
      high: c.let(vcpu.load64(Wide.sig)),
      low: c.let(vcpu.load64(Wide.sigLow)),
      exp: c.let(vcpu.load32(Wide.exp)),
    };
  }
  multiply(a: Pair, b: Pair): Pair {
    const high = this.c.let(this.c.call(this.wide.multiply, this.vcpu, a.high, a.low, b.high, b.low));
    return { high, low: this.c.let(this.vcpu.load64(Wide.low)) };
  }
  normalize(exp: I32, value: Pair): void {
    this.c.do(this.wide.normalize, this.vcpu, exp, value.high, value.low);
  }
  /** Floating number times a fixed one of 1.127, into scratch memory. */
  scale(exp: I32, value: Pair, by: Pair): void {
    this.normalize(exp.add(1), this.multiply(value, by));
  }
  /** Quotient of two significands with their top bits set, and exponent of it from the difference of theirs; into scratch memory. */
  divide(exp: I32, n: Pair, d: Pair): void {
    const { c } = this;
    const over = c.let(notLess(n, d));
    const half = shiftRight(c, n, over);
    const high = c.let(c.call(this.wide.divide, this.vcpu, half.high, half.low, d.high, d.low));
    this.normalize(exp.sub(1).add(over), { high, low: c.let(this.vcpu.load64(Wide.low)) });
  }
  /** c0 ± z (c1 ± z (c2 …)) with coefficients of 1.127, into `Wide.sum`. */
  series(coefficients: readonly bigint[], z: Pair, mask: I64): Pair {
    const { c, vcpu } = this;
    const last = constant(coefficients.at(-1) ?? 0n);
    c.store64(vcpu, last.high, Wide.sum);
    c.store64(vcpu, last.low, Wide.sumLow);
    for (const value of coefficients.slice(0, -1).toReversed()) {
      const k = constant(value);
      c.do(this.wide.step, vcpu, z.high, z.low, k.high, k.low, mask);
    }
    return { high: c.let(vcpu.load64(Wide.sum)), low: c.let(vcpu.load64(Wide.sumLow)) };
  }
  /** A floating number below 1 as a fraction. */
  fraction(exp: I32, value: Pair): Pair {
    return shiftRight(this.c, value, I32.of(-1).sub(exp));
  }
}
