import type { Code, Fn, Variable } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import {
  BIAS,
  INTEGER_BIT,
  MAX_EXPONENT,
  Operand80,
  precisionOf,
  Rounding,
  roundingOf,
  setResult,
  Status,
} from './float80.ts';
import type { Float80Core } from './float80-core.ts';
import type { Float80Rounding } from './float80-rounding.ts';

const { i32, i64 } = ValType;

export interface Float80Arithmetic {
  /** (vcpu, seA, sigA, seB, sigB, pre, negateB): a + b; `pre` are exceptions found before, `negateB` is 0x8000 for a - b. */
  readonly add: Fn<typeof i32>;
  /** (vcpu, seA, sigA, seB, sigB, pre) → exceptions */
  readonly multiply: Fn<typeof i32>;
  /** (vcpu, seA, sigA, seB, sigB, pre): a / b */
  readonly divide: Fn<typeof i32>;
  /** (vcpu, seA, sigA, seB, sigB, pre, quiet) → exceptions and C3 C2 C0; `quiet`: a quiet NaN is no invalid operation. */
  readonly compare: Fn<typeof i32>;
}

/** The operands of a binary operation: (vcpu, seA, sigA, seB, sigB, pre…). */
function operands(c: Code): { vcpu: I32; a: Operand80; b: Operand80; exceptions: Variable<I32> } {
  return {
    vcpu: c.param(i32, 0),
    a: new Operand80(c, c.param(i32, 1), c.param(i64, 2)),
    b: new Operand80(c, c.param(i32, 3), c.param(i64, 4)),
    exceptions: c.variable(i32, c.param(i32, 5)),
  };
}

export function defineFloat80Arithmetic(
  m: ModuleBuilder,
  core: Float80Core,
  { roundPack }: Float80Rounding,
): Float80Arithmetic {
  const binary = [i32, i32, i64, i32, i64, i32];
  /** What both operands have to be looked at for when one of them is not an ordinary number; `special` sees infinities and zeros before denormals are shifted. */
  const unusual = (
    c: Code,
    vcpu: I32,
    a: Operand80,
    b: Operand80,
    exceptions: Variable<I32>,
    infinities: () => void,
  ): void => {
    c.if(a.nanOrUnsupported().or(b.nanOrUnsupported()), () => {
      c.returnCall(core.nan, vcpu, a.se, a.original, b.se, b.original);
    });
    a.normalize(exceptions);
    b.normalize(exceptions);
    infinities();
  };
  const give = (c: Code, vcpu: I32, exceptions: Variable<I32>, se: I32, sig: I64): void => {
    setResult(c, vcpu, se, sig);
    c.return(exceptions.get);
  };
  const infinity = (c: Code, vcpu: I32, exceptions: Variable<I32>, sign: I32): void =>
    give(c, vcpu, exceptions, sign.or(MAX_EXPONENT), I64.of(INTEGER_BIT));

  const add = m.function('f80Add', [...binary, i32], i32, (c) => {
    const { vcpu, a, b, exceptions } = operands(c);
    const signB = c.let(b.sign.xor(c.param(i32, 6)));
    const precision = c.let(precisionOf(vcpu));
    c.if(a.normal().and(b.normal()).eqz(), () => {
      unusual(c, vcpu, a, b, exceptions, () => {
        c.if(a.infinite(), () => {
          c.if(b.infinite().and(a.sign.ne(signB)), () => c.returnCall(core.invalid, vcpu));
          infinity(c, vcpu, exceptions, a.sign);
        });
        c.if(b.infinite(), () => infinity(c, vcpu, exceptions, signB));
      });
      c.if(a.zero().and(b.zero()), () => {
        const down = roundingOf(vcpu).eq(Rounding.down).shl(15);
        give(c, vcpu, exceptions, a.sign.eq(signB).select(a.sign, down), I64.of(0));
      });
      const same = (sign: I32, x: Operand80): void =>
        c.return(exceptions.get.or(c.call(roundPack, vcpu, sign, x.exp.get, x.sig.get, I64.of(0), precision)));
      c.if(a.zero(), () => same(signB, b));
      c.if(b.zero(), () => same(a.sign, a));
    });
    // The larger magnitude first.
    const sign = c.variable(i32, a.sign);
    const exp = c.variable(i32, a.exp.get);
    const big = c.variable(i64, a.sig.get);
    const small = c.variable(i64, b.sig.get);
    const distance = c.variable(i32, a.exp.get.sub(b.exp.get));
    c.if(distance.get.ltS(0).or(distance.get.eqz().and(a.sig.get.ltU(b.sig.get))), () => {
      sign.set(signB);
      exp.set(b.exp.get);
      big.set(b.sig.get);
      small.set(a.sig.get);
      distance.set(I32.of(0).sub(distance.get));
    });
    const rest = c.variable(i64, I64.of(0));
    c.if(distance.get.ne(0), () => {
      const by = c.let(distance.get.extendU());
      // 128 bits hold the smaller one exactly while it is shifted by less than 64; beyond that one sticky bit stands for what is lost.
      c.if(
        distance.get.ltU(64),
        () => {
          rest.set(small.get.shl(I64.of(64).sub(by)));
          small.set(small.get.shrU(by));
        },
        () => {
          // A WebAssembly shift takes its count modulo 64: these are by d - 64 and by 128 - d.
          const lost = small.get.shl(I64.of(0).sub(by)).ne(0).extendU();
          const near = distance.get.eq(64).select(small.get, small.get.shrU(by).or(lost));
          rest.set(distance.get.ltU(128).select(near, I64.of(1)));
          small.set(I64.of(0));
        },
      );
    });
    const sig = c.variable(i64);
    c.if(
      a.sign.eq(signB),
      () => {
        sig.set(big.get.add(small.get));
        c.if(sig.get.ltU(big.get), () => {
          rest.set(sig.get.shl(63).or(rest.get.shrU(1)).or(rest.get.and(1)));
          sig.set(sig.get.shrU(1).or(INTEGER_BIT));
          exp.set(exp.get.add(1));
        });
      },
      () => {
        const borrow = rest.get.ne(0).extendU();
        sig.set(big.get.sub(small.get).sub(borrow));
        rest.set(rest.get.neg());
        c.if(sig.get.geS(0), () => {
          c.if(sig.get.eqz(), () => {
            c.if(rest.get.eqz(), () =>
              give(c, vcpu, exceptions, roundingOf(vcpu).eq(Rounding.down).shl(15), I64.of(0)),
            );
            sig.set(rest.get);
            rest.set(I64.of(0));
            exp.set(exp.get.sub(64));
          });
          const shift = c.let(sig.get.clz());
          c.if(shift.eqz().eqz(), () => {
            sig.set(sig.get.shl(shift).or(rest.get.shrU(I64.of(64).sub(shift))));
            rest.set(rest.get.shl(shift));
            exp.set(exp.get.sub(shift.wrap()));
          });
        });
      },
    );
    c.return(exceptions.get.or(c.call(roundPack, vcpu, sign.get, exp.get, sig.get, rest.get, precision)));
    c.unreachable();
  });

  const multiply = m.function('f80Multiply', binary, i32, (c) => {
    const { vcpu, a, b, exceptions } = operands(c);
    const sign = c.let(a.sign.xor(b.sign));
    c.if(a.normal().and(b.normal()).eqz(), () => {
      unusual(c, vcpu, a, b, exceptions, () => {
        c.if(a.infinite().or(b.infinite()), () => {
          c.if(a.zero().or(b.zero()), () => c.returnCall(core.invalid, vcpu));
          infinity(c, vcpu, exceptions, sign);
        });
      });
      c.if(a.zero().or(b.zero()), () => give(c, vcpu, exceptions, sign, I64.of(0)));
    });
    const sig = c.variable(i64, c.call(core.multiplyHigh, a.sig.get, b.sig.get));
    const rest = c.variable(i64, a.sig.get.mul(b.sig.get));
    const exp = c.variable(i32, a.exp.get.add(b.exp.get).sub(BIAS - 1));
    c.if(sig.get.geS(0), () => {
      sig.set(sig.get.shl(1).or(rest.get.shrU(63)));
      rest.set(rest.get.shl(1));
      exp.set(exp.get.sub(1));
    });
    c.return(exceptions.get.or(c.call(roundPack, vcpu, sign, exp.get, sig.get, rest.get, precisionOf(vcpu))));
    c.unreachable();
  });

  const divide = m.function('f80Div', binary, i32, (c) => {
    const { vcpu, a, b, exceptions } = operands(c);
    const sign = c.let(a.sign.xor(b.sign));
    c.if(a.normal().and(b.normal()).eqz(), () => {
      unusual(c, vcpu, a, b, exceptions, () => {
        c.if(a.infinite(), () => {
          c.if(b.infinite(), () => c.returnCall(core.invalid, vcpu));
          infinity(c, vcpu, exceptions, sign);
        });
        c.if(b.infinite(), () => give(c, vcpu, exceptions, sign, I64.of(0)));
      });
      c.if(b.zero(), () => {
        c.if(a.zero(), () => c.returnCall(core.invalid, vcpu));
        // A denormal dividend goes unreported.
        exceptions.set(I32.of(Status.ZE));
        infinity(c, vcpu, exceptions, sign);
      });
      c.if(a.zero(), () => give(c, vcpu, exceptions, sign, I64.of(0)));
    });
    const high = c.variable(i64, a.sig.get);
    const low = c.variable(i64, I64.of(0));
    const exp = c.variable(i32, a.exp.get.sub(b.exp.get).add(BIAS - 1));
    c.if(a.sig.get.geU(b.sig.get), () => {
      low.set(high.get.shl(63));
      high.set(high.get.shrU(1));
      exp.set(exp.get.add(1));
    });
    const divisor = b.sig.get;
    const quotient = c.let(c.call(core.divide, high.get, low.get, divisor));
    const remainder = c.let(low.get.sub(quotient.mul(divisor)));
    c.return(
      exceptions.get.or(
        c.call(roundPack, vcpu, sign, exp.get, quotient, restOf(remainder, divisor), precisionOf(vcpu)),
      ),
    );
    c.unreachable();
  });

  const compare = m.function('f80Compare', [...binary, i32], i32, (c) => {
    const { vcpu, a, b, exceptions } = operands(c);
    const quiet = c.param(i32, 6);
    c.if(a.normal().and(b.normal()).eqz(), () => {
      c.if(a.nanOrUnsupported().or(b.nanOrUnsupported()), () => {
        const found = c.call(core.nan, vcpu, a.se, a.original, b.se, b.original);
        c.return(found.or(quiet.eqz()).or(Status.C3 | Status.C2 | Status.C0));
      });
      a.normalize(exceptions);
      b.normalize(exceptions);
      c.if(a.zero().and(b.zero()), () => c.return(exceptions.get.or(Status.C3)));
      c.if(a.zero(), () => a.exp.set(I32.of(-100)));
      c.if(b.zero(), () => b.exp.set(I32.of(-100)));
    });
    c.if(a.sign.ne(b.sign), () => c.return(exceptions.get.or(a.sign.shrU(7))));
    const sameExponent = c.let(a.exp.get.eq(b.exp.get));
    c.if(sameExponent.and(a.sig.get.eq(b.sig.get)), () => c.return(exceptions.get.or(Status.C3)));
    const less = sameExponent.select(a.sig.get.ltU(b.sig.get), a.exp.get.ltS(b.exp.get));
    c.return(exceptions.get.or(less.xor(a.sign.shrU(15)).shl(8)));
    c.unreachable();
  });

  return { add, multiply, divide, compare };
}

/** What a division's remainder says about the bits below the quotient: nothing, less than half, half, more than half. */
function restOf(remainder: I64, divisor: I64): I64 {
  const half = divisor.sub(remainder);
  const above = remainder
    .gtU(half)
    .select(I64.of(3n << 62n), remainder.eq(half).select(I64.of(INTEGER_BIT), I64.of(1)));
  return remainder.eqz().select(I64.of(0), above);
}
