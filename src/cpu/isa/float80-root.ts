import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { F64, I32, I64, ValType } from '../wasm/value.ts';
import { BIAS, INTEGER_BIT, Operand80, precisionOf, setResult } from './float80.ts';
import type { Float80Core } from './float80-core.ts';
import type { Float80Rounding } from './float80-rounding.ts';

const { i32, i64 } = ValType;

export interface Float80Root {
  /** (vcpu, se, sig) → exceptions */
  readonly sqrt: Fn<typeof i32>;
}

export function defineFloat80Root(m: ModuleBuilder, core: Float80Core, { roundPack }: Float80Rounding): Float80Root {
  const sqrt = m.function('f80Sqrt', [i32, i32, i64], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const a = new Operand80(c, c.param(i32, 1), c.param(i64, 2));
    const exceptions = c.variable(i32, I32.of(0));
    const give = (se: I32, sig: I64): void => {
      setResult(c, vcpu, se, sig);
      c.return(exceptions.get);
    };
    c.if(a.normal().eqz(), () => {
      c.if(a.nanOrUnsupported(), () => c.returnCall(core.nan, vcpu, a.se, a.original, a.se, a.original));
      c.if(a.zero(), () => give(a.sign, I64.of(0)));
    });
    c.if(a.sign.ne(0), () => c.returnCall(core.invalid, vcpu));
    c.if(a.infinite(), () => give(a.se, a.original));
    a.normalize(exceptions);
    // Radicand high:low in [2^126, 2^128) with an even exponent; its root has 64 bits.
    const unbiased = c.let(a.exp.get.sub(BIAS));
    const odd = c.let(unbiased.and(1));
    const high = c.let(odd.select(a.sig.get, a.sig.get.shrU(1)));
    const low = c.let(odd.select(I64.of(0), a.sig.get.shl(63)));
    // 52 good bits from the machine's root, all 64 but the last from one step of Newton's method.
    const estimate = c.let(
      high
        .toF64U()
        .sqrt()
        .mul(F64.of(2 ** 32))
        .toI64U()
        .or(INTEGER_BIT),
    );
    const quotient = c.variable(i64, I64.of(-1));
    c.if(high.ltU(estimate), () => quotient.set(c.call(core.divide, high, low, estimate)));
    const carry = estimate.and(quotient.get).and(1);
    const root = c.variable(i64, estimate.shrU(1).add(quotient.get.shrU(1)).add(carry));
    // Remainder as 128 bits; correct the root until 0 <= remainder <= 2 * root.
    const restLow = c.variable(i64, low.sub(root.get.mul(root.get)));
    const squareHigh = c.call(core.multiplyHigh, root.get, root.get);
    const restHigh = c.variable(i64, high.sub(squareHigh).sub(low.ltU(root.get.mul(root.get)).extendU()));
    c.while(
      () => restHigh.get.ltS(0),
      () => {
        root.set(root.get.sub(1));
        const step = c.let(root.get.shl(1).or(1));
        restHigh.set(restHigh.get.add(root.get.shrU(63)));
        restLow.set(restLow.get.add(step));
        restHigh.set(restHigh.get.add(restLow.get.ltU(step).extendU()));
      },
    );
    const tooLarge = (): I32 => {
      const twice = root.get.shl(1);
      const twiceHigh = root.get.shrU(63);
      return restHigh.get.gtU(twiceHigh).or(restHigh.get.eq(twiceHigh).and(restLow.get.gtU(twice)));
    };
    c.while(tooLarge, () => {
      const step = c.let(root.get.shl(1).or(1));
      restHigh.set(restHigh.get.sub(root.get.shrU(63)).sub(restLow.get.ltU(step).extendU()));
      restLow.set(restLow.get.sub(step));
      root.set(root.get.add(1));
    });
    const aboveHalf = restHigh.get.ne(0).or(restLow.get.gtU(root.get));
    const exact = restHigh.get.or(restLow.get).eqz();
    const rest = exact.select(I64.of(0), aboveHalf.select(I64.of(3n << 62n), I64.of(1)));
    const exp = unbiased.shrS(1).add(BIAS);
    c.return(exceptions.get.or(c.call(roundPack, vcpu, I32.of(0), exp, root.get, rest, precisionOf(vcpu))));
    c.unreachable();
  });

  return { sqrt };
}
