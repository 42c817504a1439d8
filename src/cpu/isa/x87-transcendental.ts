import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';
import {
  BIAS,
  EXCEPTIONS,
  FULL_PRECISION,
  INTEGER_BIT,
  MAX_EXPONENT,
  Operand80,
  Result,
  setResult,
  Status,
} from './float80.ts';
import type { Float80 } from './float80-all.ts';
import { BEFORE_RESULT, moveTop, pop, Register, setCodes, UNDERFLOW, type X87Stack } from './x87-stack.ts';

const { i32, i64 } = ValType;

export interface X87Transcendental {
  /** (vcpu, op, turns): FSIN, FCOS */
  readonly wave: Fn<undefined>;
  /** (vcpu, op) */
  readonly sineAndCosine: Fn<undefined>;
  readonly tangent: Fn<undefined>;
  readonly exponential: Fn<undefined>;
  /** (vcpu, op): ST(1) := f(ST(1), ST(0)), then pop */
  readonly angle: Fn<undefined>;
  readonly logarithm: Fn<undefined>;
  readonly logarithmPlusOne: Fn<undefined>;
}

/** Operands from here on, 2^63, are not reduced: C2 tells (SDM Vol. 2A, "FSIN"). */
const OUT_OF_RANGE = BIAS + 63;

/*
 * Results are the exact ones rounded to 64 bits (as rounding control says), but for errors of some 2^-120 before rounding. AMD's Zen 4 is within one
 * unit in the last place of that and differs for this share of random operands: FSIN 1.3 %, FCOS 0.7 %, FPTAN 3.9 %, FPATAN 1.6 %, F2XM1 3.2 %,
 * FYL2X 2.6 %, FYL2XP1 3.7 %; C1 then differs too. FSIN, FCOS, FSINCOS and FPTAN reduce by the same pi of 66 bits. Outside of what the manuals define,
 * F2XM1 (|x| > 1) and FYL2XP1 (|x| > 1 - sqrt(2) / 2) do what Zen 4 does.
 */

/** Operands of the transcendental instructions with what they do about special values; infinities, zeros and NaNs as measured on AMD processors. */
export function defineX87Transcendental(m: ModuleBuilder, f: Float80, { settle }: X87Stack): X87Transcendental {
  const give = (c: Code, vcpu: I32, exceptions: I32 | number, se: I32 | number, sig: I64 | bigint): void => {
    setResult(c, vcpu, se, sig);
    c.return(I32.from(exceptions));
  };

  /** (vcpu, se, sig, kind) → exceptions: 0 sine, 1 cosine, 2 tangent of a number that is in range or special. */
  const circular = m.function('x87Circular', [i32, i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const a = new Operand80(c, c.param(i32, 1), c.param(i64, 2));
    const kind = c.param(i32, 3);
    const exceptions = c.variable(i32, I32.of(0));
    c.if(a.nanOrUnsupported(), () => c.returnCall(f.nan, vcpu, a.se, a.original, a.se, a.original));
    c.if(a.infinite(), () => c.returnCall(f.invalid, vcpu));
    c.if(a.zero(), () => {
      c.if(kind.eq(1), () => give(c, vcpu, 0, BIAS, INTEGER_BIT));
      give(c, vcpu, 0, a.se, a.original);
    });
    a.normalize(exceptions);
    c.if(kind.eq(2), () => c.return(exceptions.get.or(c.call(f.tangent, vcpu, a.sign, a.exp.get, a.sig.get))));
    c.return(exceptions.get.or(c.call(f.wave, vcpu, a.sign, a.exp.get, a.sig.get, kind)));
    c.unreachable();
  });

  /** What all circular functions do first: `done` is emitted for an empty register; an operand out of range sets C2 and ends. */
  const begin = (c: Code, vcpu: I32, op: I32, a: Register, empty: () => void, full?: () => void): void => {
    setCodes(c, vcpu, 0, Status.C2);
    c.if(a.empty(), empty);
    full?.();
    const exp = c.let(a.se().and(MAX_EXPONENT));
    c.if(exp.geU(OUT_OF_RANGE).and(exp.ne(MAX_EXPONENT)).and(a.sig().ltS(0)), () => {
      c.drop(c.call(settle, vcpu, op, I32.of(0)));
      setCodes(c, vcpu, Status.C2, Status.C2);
      c.return();
    });
  };

  const wave = m.function('x87Wave', [i32, i32, i32], undefined, (c) => {
    const [vcpu, op] = [c.param(i32, 0), c.param(i32, 1)];
    const a = new Register(c, vcpu, 0);
    const store = (exceptions: I32 | number): void => {
      c.if(c.call(settle, vcpu, op, I32.from(exceptions)).and(BEFORE_RESULT).eqz(), () => a.fillFromResult());
      c.return();
    };
    begin(c, vcpu, op, a, () => {
      c.drop(c.call(f.invalid, vcpu));
      store(UNDERFLOW);
    });
    store(c.let(c.call(circular, vcpu, a.se(), a.sig(), c.param(i32, 2))));
  });

  /** FSINCOS and FPTAN: one result replaces ST(0), another one is pushed. */
  const pushing = (name: string, kind: number, pushed: (c: Code, vcpu: I32, se: I32, sig: I64) => I32): Fn<undefined> =>
    m.function(name, [i32, i32], undefined, (c) => {
      const [vcpu, op] = [c.param(i32, 0), c.param(i32, 1)];
      const a = new Register(c, vcpu, 0);
      const to = new Register(c, vcpu, 7);
      const indefinite = (exceptions: number): void => {
        c.if(c.call(settle, vcpu, op, I32.of(exceptions)).eqz(), () => {
          moveTop(c, vcpu, -1);
          a.fillIndefinite();
          to.fillIndefinite();
        });
        c.return();
      };
      begin(
        c,
        vcpu,
        op,
        a,
        () => indefinite(UNDERFLOW),
        () => c.if(to.empty().eqz(), () => indefinite(UNDERFLOW | Status.C1)),
      );
      const se = c.let(a.se());
      const sig = c.let(a.sig());
      const first = c.let(c.call(circular, vcpu, se, sig, I32.of(kind)));
      const firstSe = c.let(vcpu.load32(Result.se));
      const firstSig = c.let(vcpu.load64(Result.sig));
      // C1 is that of the first result.
      const second = c.let(pushed(c, vcpu, se, sig).and(~Status.C1));
      c.if(c.call(settle, vcpu, op, first.or(second)).and(BEFORE_RESULT), () => c.return());
      moveTop(c, vcpu, -1);
      a.fill(firstSe, firstSig);
      to.fillFromResult();
    });

  const tangent = pushing('x87Tangent', 2, (c, vcpu, se, sig) => {
    // 1.0, unless the operand was a NaN or infinite.
    const number = se
      .and(MAX_EXPONENT)
      .ne(MAX_EXPONENT)
      .and(sig.ltS(0).or(se.and(MAX_EXPONENT).eqz()));
    c.if(number, () => setResult(c, vcpu, BIAS, INTEGER_BIT));
    return I32.of(0);
  });
  const sineAndCosine = pushing('x87SineAndCosine', 0, (c, vcpu, se, sig) =>
    c.call(circular, vcpu, se, sig, I32.of(1)),
  );

  const exponential = m.function('x87Exponential', [i32, i32], undefined, (c) => {
    const [vcpu, op] = [c.param(i32, 0), c.param(i32, 1)];
    const a = new Register(c, vcpu, 0);
    const store = (exceptions: I32 | number): void => {
      c.if(c.call(settle, vcpu, op, I32.from(exceptions)).and(BEFORE_RESULT).eqz(), () => a.fillFromResult());
      c.return();
    };
    const number = (exceptions: I32 | number, se: I32 | number, sig: I64 | bigint): void => {
      setResult(c, vcpu, se, sig);
      store(exceptions);
    };
    c.if(a.empty(), () => {
      c.drop(c.call(f.invalid, vcpu));
      store(UNDERFLOW);
    });
    const x = new Operand80(c, c.let(a.se()), c.let(a.sig()));
    const exceptions = c.variable(i32, I32.of(0));
    c.if(x.nanOrUnsupported(), () => store(c.let(c.call(f.nan, vcpu, x.se, x.original, x.se, x.original))));
    c.if(x.infinite(), () => {
      c.if(x.sign.ne(0), () => number(0, BIAS | 0x8000, INTEGER_BIT));
      number(0, x.se, x.original);
    });
    c.if(x.zero(), () => number(0, x.se, x.original));
    c.if(x.exp.get.geS(BIAS), () => {
      // 2^1 - 1 and 2^-1 - 1; operands beyond that are outside of what is defined and come back unchanged.
      c.if(x.exp.get.eq(BIAS).and(x.original.eq(INTEGER_BIT)), () => {
        c.if(x.sign.ne(0), () => number(Status.PE, (BIAS - 1) | 0x8000, INTEGER_BIT));
        number(Status.PE | Status.C1, BIAS, INTEGER_BIT);
      });
      number(Status.PE, x.se, x.original);
    });
    x.normalize(exceptions);
    store(c.let(exceptions.get.or(c.call(f.exponential, vcpu, x.sign, x.exp.get, x.sig.get))));
  });

  /** ST(1) := f(ST(1), ST(0)) and pop; `compute` leaves its result and returns exceptions, as a function of (vcpu, seY, sigY, seX, sigX). */
  const popping = (name: string, compute: Fn<typeof i32>): Fn<undefined> =>
    m.function(name, [i32, i32], undefined, (c) => {
      const [vcpu, op] = [c.param(i32, 0), c.param(i32, 1)];
      const x = new Register(c, vcpu, 0);
      const y = new Register(c, vcpu, 1);
      const exceptions = c.variable(i32, I32.of(UNDERFLOW));
      c.if(
        x.empty().or(y.empty()),
        () => c.drop(c.call(f.invalid, vcpu)),
        () => {
          exceptions.set(c.call(compute, vcpu, y.se(), y.sig(), x.se(), x.sig()));
        },
      );
      c.if(c.call(settle, vcpu, op, exceptions.get).and(BEFORE_RESULT), () => c.return());
      y.fillFromResult();
      pop(c, vcpu);
    });

  const binary = (
    name: string,
    write: (c: Code, vcpu: I32, y: Operand80, x: Operand80, exceptions: { get: I32; set(v: I32): void }) => void,
  ): Fn<typeof i32> =>
    m.function(name, [i32, i32, i64, i32, i64], i32, (c) => {
      const vcpu = c.param(i32, 0);
      const y = new Operand80(c, c.param(i32, 1), c.param(i64, 2));
      const x = new Operand80(c, c.param(i32, 3), c.param(i64, 4));
      c.if(y.nanOrUnsupported().or(x.nanOrUnsupported()), () =>
        c.returnCall(f.nan, vcpu, y.se, y.original, x.se, x.original),
      );
      write(c, vcpu, y, x, c.variable(i32, I32.of(0)));
      c.unreachable();
    });

  const angle = binary('x87AngleOf', (c, vcpu, y, x, exceptions) => {
    x.normalize(exceptions);
    y.normalize(exceptions);
    const quarters = (n: I32 | number): void =>
      c.return(exceptions.get.or(c.call(f.quarters, vcpu, y.sign, I32.from(n))));
    c.if(y.infinite(), () => {
      c.if(x.infinite(), () => quarters(x.sign.ne(0).select(I32.of(3), I32.of(1))));
      quarters(2);
    });
    c.if(y.zero().or(x.infinite()), () => {
      c.if(x.sign.ne(0), () => quarters(4));
      give(c, vcpu, exceptions.get, y.sign, 0n);
    });
    c.if(x.zero(), () => quarters(2));
    c.return(exceptions.get.or(c.call(f.angle, vcpu, y.sign, y.sig.get, y.exp.get, x.sign, x.sig.get, x.exp.get)));
  });

  const logarithm = binary('x87LogarithmOf', (c, vcpu, y, x, exceptions) => {
    c.if(x.zero(), () => {
      c.if(y.zero(), () => c.returnCall(f.invalid, vcpu));
      c.if(y.infinite().eqz(), () => exceptions.set(I32.of(Status.ZE)));
      give(c, vcpu, exceptions.get, y.sign.xor(0x8000).or(MAX_EXPONENT), INTEGER_BIT);
    });
    c.if(x.sign.ne(0), () => c.returnCall(f.invalid, vcpu));
    x.normalize(exceptions);
    y.normalize(exceptions);
    const one = c.let(x.exp.get.eq(BIAS).and(x.sig.get.eq(INTEGER_BIT)));
    const sign = c.let(y.sign.xor(x.exp.get.ltS(BIAS).shl(15)));
    c.if(x.infinite().or(y.infinite()), () => {
      c.if(y.zero().or(one), () => c.returnCall(f.invalid, vcpu));
      give(c, vcpu, exceptions.get, sign.or(MAX_EXPONENT), INTEGER_BIT);
    });
    c.if(y.zero().or(one), () => give(c, vcpu, exceptions.get, sign, 0n));
    c.return(exceptions.get.or(c.call(f.timesLogarithm, vcpu, y.sign, y.sig.get, x.exp.get, x.sig.get, y.exp.get)));
  });

  const logarithmPlusOne = binary('x87LogarithmPlusOneOf', (c, vcpu, y, x, exceptions) => {
    const sign = c.let(y.sign.xor(x.sign));
    c.if(x.infinite().and(x.sign.ne(0)), () => c.returnCall(f.invalid, vcpu));
    x.normalize(exceptions);
    y.normalize(exceptions);
    c.if(x.infinite().or(y.infinite()), () => {
      c.if(x.zero().or(y.zero()), () => c.returnCall(f.invalid, vcpu));
      give(c, vcpu, exceptions.get, sign.or(MAX_EXPONENT), INTEGER_BIT);
    });
    c.if(x.zero().or(y.zero()), () => give(c, vcpu, exceptions.get, sign, 0n));
    c.if(x.exp.get.ltS(x.sign.ne(0).select(I32.of(BIAS - 1), I32.of(BIAS))), () => {
      const done = c.call(f.timesLogarithmPlusOne, vcpu, y.sign, y.sig.get, x.sign, x.sig.get, x.exp.get, y.exp.get);
      c.return(exceptions.get.or(done));
    });
    // Beyond the range that is defined: -1 and less come back as they are, others are added up first.
    c.if(x.exp.get.geS(BIAS).and(x.sign.ne(0)), () => give(c, vcpu, exceptions.get.or(Status.PE), x.se, x.original));
    // The sum is rounded to nearest, whatever the control word says; far from 1 it is the operand.
    const control = c.let(vcpu.load32(S.x87Control));
    c.store32(vcpu, I32.of(FULL_PRECISION | EXCEPTIONS), S.x87Control);
    setResult(c, vcpu, x.se, x.original);
    c.if(x.exp.get.ltS(BIAS + 66), () => {
      c.drop(c.call(f.add, vcpu, x.se, x.original, I32.of(BIAS), I64.of(INTEGER_BIT), I32.of(0), I32.of(0)));
    });
    c.store32(vcpu, control, S.x87Control);
    const sum = c.let(vcpu.load64(Result.sig));
    const exponent = vcpu.load32(Result.se);
    c.return(exceptions.get.or(c.call(f.timesLogarithm, vcpu, y.sign, y.sig.get, exponent, sum, y.exp.get)));
  });

  return {
    wave,
    sineAndCosine,
    tangent,
    exponential,
    angle: popping('x87Angle', angle),
    logarithm: popping('x87Logarithm', logarithm),
    logarithmPlusOne: popping('x87LogarithmPlusOne', logarithmPlusOne),
  };
}
