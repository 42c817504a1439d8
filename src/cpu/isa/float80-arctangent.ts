import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { F64, I32, I64, ValType } from '../wasm/value.ts';
import type { Float80Core } from './float80-core.ts';
import { constant, fixed, type Float80Wide, notLess, type Pair, shiftRight, WideCode } from './float80-wide.ts';

const { i32, i64 } = ValType;

/** pi and atan(i / 4) in units of 2^-126. */
const PI = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n;
const ATAN_OF_QUARTERS = [
  0n,
  0x3eb6_ebf2_5901_bac5_5b71_e7bd_7de8_85f9n >> 2n,
  0x76b1_9c15_86ed_3da2_b7f2_22f6_5e1d_4682n >> 2n,
  0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9fn >> 2n,
  PI >> 2n,
] as const;

/** atan(t) / t in t^2 with alternating signs, t <= 1/8. */
const ARC_TANGENT = Array.from({ length: 21 }, (_, k) => fixed(1n, BigInt(2 * k + 1)));

export interface Float80ArcTangent {
  /** (vcpu, seY, sigY, exponentY, seX, sigX, exponentX) → exceptions: the angle of (x, y); both normalized and finite, not zero. */
  readonly angle: Fn<typeof i32>;
  /** (vcpu, sign, eighths) → exceptions: a multiple of pi / 4 (0…4). */
  readonly quarters: Fn<typeof i32>;
}

const subtract = (a: Pair, b: Pair): Pair => ({
  high: a.high.sub(b.high).sub(a.low.ltU(b.low).extendU()),
  low: a.low.sub(b.low),
});
const add = (a: Pair, low: I64, high: I64): Pair => ({
  high: a.high.add(high).add(a.low.add(low).ltU(low).extendU()),
  low: a.low.add(low),
});

export function defineFloat80ArcTangent(m: ModuleBuilder, core: Float80Core, wide: Float80Wide): Float80ArcTangent {
  const angle = m.function('f80Angle', [i32, i32, i64, i32, i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const [seY, sigY, expY] = [c.param(i32, 1), c.param(i64, 2), c.param(i32, 3)];
    const [seX, sigX, expX] = [c.param(i32, 4), c.param(i64, 5), c.param(i32, 6)];
    const w = new WideCode(c, vcpu, wide);
    const keep = (p: Pair): Pair => ({ high: c.let(p.high), low: c.let(p.low) });
    // a / b <= 1, its angle to be taken from pi / 2 when |y| > |x|.
    const steep = c.let(expY.gtS(expX).or(expY.eq(expX).and(sigY.gtU(sigX))));
    const a = c.let(steep.select(sigX, sigY));
    const b = c.let(steep.select(sigY, sigX));
    const difference = c.let(steep.select(expY.sub(expX), expX.sub(expY)));
    const quarter = c.variable(i32, I32.of(0));
    const below = c.variable(i32, I32.of(0));
    const exact = c.variable(i32, I32.of(0));
    const d = c.let(difference.extendU());
    c.if(difference.ltS(4), () => {
      quarter.set(a.shrU(d).toF64U().div(b.toF64U()).mul(F64.of(4)).add(F64.of(0.5)).toI32S());
    });
    c.if(
      quarter.get.eqz(),
      () => w.divide(I32.of(0).sub(difference), { high: a, low: I64.of(0) }, { high: b, low: I64.of(0) }),
      () => {
        // With c = i / 4: (t - c) / (1 + t c) = (4 a - i b) / (4 b + i a), its angle to be added to that of c.
        const i = c.let(quarter.get.extendU());
        const large = keep({ high: b.shrU(1).shrU(I64.of(63).sub(d)), low: b.shl(d) });
        const times = (p: Pair): Pair =>
          keep({ high: p.high.mul(i).add(c.call(core.multiplyHigh, p.low, i)), low: p.low.mul(i) });
        const four = (p: Pair): Pair => keep({ high: p.high.shl(2).or(p.low.shrU(62)), low: p.low.shl(2) });
        const small = { high: I64.of(0), low: a };
        const first = four(small);
        const second = times(large);
        below.set(notLess(first, second).eqz());
        const n = c.variable(i64);
        const nLow = c.variable(i64);
        const set = (p: Pair): void => {
          n.set(p.high);
          nLow.set(p.low);
        };
        c.if(
          below.get,
          () => set(subtract(second, first)),
          () => set(subtract(first, second)),
        );
        c.if(
          n.get.or(nLow.get).eqz(),
          () => exact.set(I32.of(1)),
          () => {
            const weighted = times(small);
            w.normalize(I32.of(0), keep(add(four(large), weighted.low, weighted.high)));
            const divisor = w.value();
            w.normalize(I32.of(0), { high: n.get, low: nLow.get });
            const dividend = w.value();
            w.divide(dividend.exp.sub(divisor.exp), dividend, divisor);
          },
        );
      },
    );
    c.if(exact.get.eqz(), () => {
      const t = w.value();
      const z = shiftRight(c, w.multiply(t, t), I32.of(-2).sub(t.exp.shl(1)));
      w.scale(t.exp, t, w.series(ARC_TANGENT, z, I64.of(-1)));
      const result = w.value();
      w.normalize(result.exp, subtract(result, { high: I64.of(0), low: I64.of(1) }));
    });
    const left = c.let(seX.shrU(15));
    const sign = c.let(seY.and(0x8000));
    c.if(quarter.get.or(steep).or(left).eqz(), () => c.returnCall(wide.round, vcpu, sign));
    // Somewhere between 0 and pi: a fixed number of units of 2^-126.
    const small = w.value();
    const part = shiftRight(c, small, I32.of(1).sub(small.exp));
    const high = c.variable(i64, I64.of(0));
    const low = c.variable(i64, I64.of(0));
    const set = (p: Pair): void => {
      const { high: h, low: l } = keep(p);
      high.set(h);
      low.set(l);
    };
    ATAN_OF_QUARTERS.forEach((value, i) => {
      if (i > 0) c.if(quarter.get.eq(i), () => set(constant(value)));
    });
    const now = { high: high.get, low: low.get };
    c.if(exact.get.eqz(), () => {
      c.if(
        below.get,
        () => set(subtract(now, part)),
        () => set(add(now, part.low, part.high)),
      );
    });
    c.if(steep, () => set(subtract(constant(PI >> 1n), now)));
    c.if(left, () => set(subtract(constant(PI), now)));
    w.normalize(I32.of(1), now);
    c.returnCall(wide.round, vcpu, sign);
    c.unreachable();
  });

  const quarters = m.function('f80Quarters', [i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const n = c.let(c.param(i32, 2).extendU());
    const w = new WideCode(c, vcpu, wide);
    const quarter = constant(PI >> 2n);
    w.normalize(I32.of(1), {
      high: quarter.high.mul(n).add(c.call(core.multiplyHigh, quarter.low, n)),
      low: quarter.low.mul(n),
    });
    c.returnCall(wide.round, vcpu, c.param(i32, 1));
    c.unreachable();
  });

  return { angle, quarters };
}
