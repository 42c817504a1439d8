import type { Code, Fn, Variable } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { BIAS, FULL_PRECISION, INTEGER_BIT, MAX_EXPONENT, Operand80, setResult, Status } from './float80.ts';
import type { Float80Core } from './float80-core.ts';
import { type Float80Rounding, Rounder } from './float80-rounding.ts';

const { i32, i64 } = ValType;

/** Set beside the exceptions of `remainder` when condition codes are to be set. */
export const REDUCED = 1 << 20;

export interface Float80Special {
  /**
   * (vcpu, seA, sigA, seB, sigB, nearest) → exceptions; with a quotient `REDUCED`, its lowest bits in C0 C3 C1, and C2 when the reduction is not
   * complete.
   */
  readonly remainder: Fn<typeof i32>;
  /** (vcpu, se, sig) → exceptions */
  readonly roundToInteger: Fn<typeof i32>;
  /** (vcpu, seA, sigA, seB, sigB): a * 2^trunc(b) */
  readonly scale: Fn<typeof i32>;
}

export function defineFloat80Special(
  m: ModuleBuilder,
  core: Float80Core,
  { roundPack }: Float80Rounding,
): Float80Special {
  const pair = (c: Code): { vcpu: I32; a: Operand80; b: Operand80; exceptions: Variable<I32> } => {
    const vcpu = c.param(i32, 0);
    const a = new Operand80(c, c.param(i32, 1), c.param(i64, 2));
    const b = new Operand80(c, c.param(i32, 3), c.param(i64, 4));
    c.if(a.nanOrUnsupported().or(b.nanOrUnsupported()), () => {
      c.returnCall(core.nan, vcpu, a.se, a.original, b.se, b.original);
    });
    return { vcpu, a, b, exceptions: c.variable(i32, I32.of(0)) };
  };

  const remainder = m.function('f80Remainder', [i32, i32, i64, i32, i64, i32], i32, (c) => {
    const { vcpu, a, b, exceptions } = pair(c);
    const nearest = c.param(i32, 5);
    c.if(a.infinite().or(b.zero()), () => c.returnCall(core.invalid, vcpu));
    a.normalize(exceptions);
    b.normalize(exceptions);
    exceptions.set(exceptions.get.or(REDUCED));
    const unchanged = (): void => {
      c.if(a.zero(), () => {
        setResult(c, vcpu, a.se, a.original);
        c.return(exceptions.get);
      });
      c.return(
        exceptions.get.or(c.call(roundPack, vcpu, a.sign, a.exp.get, a.sig.get, I64.of(0), I32.of(FULL_PRECISION))),
      );
    };
    c.if(a.zero().or(b.infinite()), unchanged);
    const sign = c.variable(i32, a.sign);
    const distance = c.let(a.exp.get.sub(b.exp.get));
    c.if(distance.ltS(nearest.ne(0).select(I32.of(-1), I32.of(0))), unchanged);
    const exp = c.variable(i32, b.exp.get);
    const rest = c.variable(i64, a.sig.get);
    const divisor = b.sig.get;
    const quotient = c.variable(i64, I64.of(0));
    c.if(
      distance.ltS(0),
      () => {
        // Between a quarter of the divisor and the divisor: the nearest multiple is 0 or the divisor.
        exp.set(a.exp.get);
        c.if(rest.get.gtU(divisor), () => {
          rest.set(divisor.shl(1).sub(rest.get));
          sign.set(sign.get.xor(0x8000));
          quotient.set(I64.of(1));
        });
      },
      () => {
        // A step removes at most 63 bits; with more to do it is one of 32 to 63, and the program is to repeat it (SDM Vol. 2A, "FPREM").
        const partial = c.let(distance.geS(64));
        const bits = c.let(partial.select(distance.and(31).or(32), distance).extendU());
        exp.set(exp.get.add(distance.sub(bits.wrap())));
        c.if(rest.get.geU(divisor), () => {
          rest.set(rest.get.sub(divisor));
          quotient.set(I64.of(1).shl(bits));
        });
        const low = c.let(rest.get.shl(bits));
        const high = rest.get.shrU(1).shrU(I64.of(63).sub(bits));
        const found = c.let(c.call(core.divide, high, low, divisor));
        rest.set(low.sub(found.mul(divisor)));
        quotient.set(quotient.get.add(found));
        c.if(
          partial,
          () => exceptions.set(exceptions.get.or(Status.C2)),
          () => {
            c.if(nearest, () => {
              const up = rest.get.gtU(divisor.sub(rest.get));
              const tie = rest.get.eq(divisor.sub(rest.get)).and(quotient.get.wrap());
              c.if(up.or(tie).and(1), () => {
                rest.set(divisor.sub(rest.get));
                sign.set(sign.get.xor(0x8000));
                quotient.set(quotient.get.add(1));
              });
            });
          },
        );
      },
    );
    c.if(exceptions.get.and(Status.C2).eqz(), () => {
      const q = c.let(quotient.get.wrap());
      const bit = (n: number, to: number): I32 => q.shrU(n).and(1).shl(to);
      exceptions.set(exceptions.get.or(bit(2, 8)).or(bit(1, 14)).or(bit(0, 9)));
    });
    c.if(rest.get.eqz(), () => {
      setResult(c, vcpu, a.sign, I64.of(0));
      c.return(exceptions.get);
    });
    const shift = c.let(rest.get.clz());
    const last = c.call(
      roundPack,
      vcpu,
      sign.get,
      exp.get.sub(shift.wrap()),
      rest.get.shl(shift),
      I64.of(0),
      I32.of(FULL_PRECISION),
    );
    c.return(exceptions.get.or(last));
    c.unreachable();
  });

  const roundToInteger = m.function('f80RoundToInteger', [i32, i32, i64], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const a = new Operand80(c, c.param(i32, 1), c.param(i64, 2));
    const exceptions = c.variable(i32, I32.of(0));
    c.if(a.nanOrUnsupported(), () => c.returnCall(core.nan, vcpu, a.se, a.original, a.se, a.original));
    c.if(a.exp.get.geS(BIAS + 63).or(a.zero()), () => {
      setResult(c, vcpu, a.se, a.original);
      c.return(I32.of(0));
    });
    c.if(a.exp.get.eqz(), () => exceptions.set(I32.of(Status.DE)));
    const r = new Rounder(c, vcpu, a.sign, a.original, I64.of(0));
    r.shiftRight(I32.of(BIAS + 63).sub(a.exp.get));
    r.round(() => undefined);
    const shift = c.let(r.value.get.clz());
    const zero = r.value.get.eqz();
    setResult(c, vcpu, a.sign.or(zero.select(I32.of(0), I32.of(BIAS + 63).sub(shift.wrap()))), r.value.get.shl(shift));
    c.return(exceptions.get.or(r.inexact()));
    c.unreachable();
  });

  const scale = m.function('f80Scale', [i32, i32, i64, i32, i64], i32, (c) => {
    const { vcpu, a, b, exceptions } = pair(c);
    a.normalize(exceptions);
    b.normalize(exceptions);
    const give = (se: I32, sig: I64): void => {
      setResult(c, vcpu, se, sig);
      c.return(exceptions.get);
    };
    c.if(b.infinite(), () => {
      c.if(b.sign.ne(0).select(a.infinite(), a.zero()), () => c.returnCall(core.invalid, vcpu));
      c.if(b.sign.ne(0), () => give(a.sign, I64.of(0)));
      give(a.sign.or(MAX_EXPONENT), I64.of(INTEGER_BIT));
    });
    c.if(a.infinite().or(a.zero()), () => give(a.se, a.original));
    // The exponent range is less than 2^17 wide: what is larger overflows or underflows all the same.
    const exponent = c.let(b.exp.get.sub(BIAS));
    const by = c.variable(i32, I32.of(0));
    c.if(exponent.geS(0), () => {
      const size = exponent.gtS(16).select(I64.of(0x1_0000), b.sig.get.shrU(I32.of(63).sub(exponent).extendU()));
      by.set(size.wrap());
      c.if(b.sign.ne(0), () => by.set(I32.of(0).sub(by.get)));
    });
    const done = c.call(roundPack, vcpu, a.sign, a.exp.get.add(by.get), a.sig.get, I64.of(0), I32.of(FULL_PRECISION));
    c.return(exceptions.get.or(done));
    c.unreachable();
  });

  return { remainder, roundToInteger, scale };
}
