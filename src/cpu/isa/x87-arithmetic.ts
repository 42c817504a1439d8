import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { Flags } from '../flags.ts';
import { S } from '../state-layout.ts';
import { BIAS, INDEFINITE, INTEGER_BIT, MAX_EXPONENT, Result, roundingOf, Status } from './float80.ts';
import type { Float80 } from './float80-all.ts';
import { FORMATS, type NarrowFormat, widenNormal } from './float80-convert.ts';
import { REDUCED } from './float80-special.ts';
import { BEFORE_RESULT, moveTop, pop, Register, setCodes, settled, UNDERFLOW, type X87Stack } from './x87-stack.ts';

const { i32, i64 } = ValType;

/** Bits beside the exceptions in a `pre` parameter: what to do after the operation. */
export const After = { pop: 1 << 16, popTwice: 1 << 17, quiet: 1 << 18, eflags: 1 << 19 } as const;

export interface X87Arithmetic {
  /** (vcpu, op, operation, i, se, sig, pre): ST(i) := ST(i) op value; operations are numbered by ModRM.reg. `UNDERFLOW` in pre: no value. */
  readonly binary: Fn<undefined>;
  /** (vcpu, op, operation, i, j, pre): the same with ST(j). */
  readonly binaryRegister: Fn<undefined>;
  /** (vcpu, op, operation, bits): ST(0) with a number from memory. */
  readonly binarySingle: Fn<undefined>;
  readonly binaryDouble: Fn<undefined>;
  readonly binaryInteger: Fn<undefined>;
  /** (vcpu, op, se, sig, pre): compares ST(0) with a value. */
  readonly compare: Fn<undefined>;
  /** (vcpu, op, i, pre) */
  readonly compareRegister: Fn<undefined>;
  /** (vcpu, op, bits, pre) */
  readonly compareSingle: Fn<undefined>;
  readonly compareDouble: Fn<undefined>;
  readonly compareInteger: Fn<undefined>;
  /** (vcpu, op): ST(0) := f(ST(0)) */
  readonly sqrt: Fn<undefined>;
  readonly roundToInteger: Fn<undefined>;
  /** (vcpu, op): ST(0) := f(ST(0), ST(1)) */
  readonly scale: Fn<undefined>;
  /** (vcpu, op, nearest) */
  readonly remainder: Fn<undefined>;
  readonly extract: Fn<undefined>;
  /** (vcpu) → bits for a store; exceptions wait in `Result.exceptions` for `commitStore`. */
  readonly storeSingle: Fn<typeof i64>;
  readonly storeDouble: Fn<typeof i64>;
  /** (vcpu, bits, truncate) */
  readonly storeInteger: Fn<typeof i64>;
  /** (vcpu) → low 8 bytes; the upper 2 in `Result.se`. */
  readonly storeBcd: Fn<typeof i64>;
  readonly storeExtended: Fn<typeof i64>;
}

export function defineX87Arithmetic(m: ModuleBuilder, f: Float80, stack: X87Stack): X87Arithmetic {
  const { settle } = stack;
  const result = (vcpu: I32): [I32, I64] => [vcpu.load32(Result.se), vcpu.load64(Result.sig)];

  const binary = m.function('x87Binary', [i32, i32, i32, i32, i32, i64, i32], undefined, (c) => {
    const [vcpu, op, operation] = [c.param(i32, 0), c.param(i32, 1), c.param(i32, 2)];
    const [se, sig, pre] = [c.param(i32, 4), c.param(i64, 5), c.param(i32, 6)];
    const to = new Register(c, vcpu, c.param(i32, 3));
    const exceptions = c.variable(i32, I32.of(UNDERFLOW));
    const [toSe, toSig] = [c.let(to.se()), c.let(to.sig())];
    c.if(
      pre.and(Status.SF).or(to.empty()).eqz(),
      () => {
        const before = pre.and(Status.DE);
        const none = I32.of(0);
        const negated = I32.of(0x8000);
        const give = (value: I32): void => exceptions.set(value);
        c.switch(
          operation,
          [
            () => give(c.call(f.add, vcpu, toSe, toSig, se, sig, before, none)),
            () => give(c.call(f.multiply, vcpu, toSe, toSig, se, sig, before)),
            () => c.unreachable(),
            () => c.unreachable(),
            () => give(c.call(f.add, vcpu, toSe, toSig, se, sig, before, negated)),
            () => give(c.call(f.add, vcpu, se, sig, toSe, toSig, before, negated)),
            () => give(c.call(f.divide, vcpu, toSe, toSig, se, sig, before)),
          ],
          () => give(c.call(f.divide, vcpu, se, sig, toSe, toSig, before)),
        );
      },
      () => c.drop(c.call(f.invalid, vcpu)),
    );
    c.if(settled(c, settle, vcpu, op, exceptions.get).and(BEFORE_RESULT), () => c.return());
    to.fillFromResult();
    c.if(pre.and(After.pop), () => pop(c, vcpu));
  });

  const binaryRegister = m.function('x87BinaryRegister', [i32, i32, i32, i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const from = new Register(c, vcpu, c.param(i32, 4));
    const pre = c.param(i32, 5).or(from.empty().shl(6));
    c.returnCall(binary, vcpu, c.param(i32, 1), c.param(i32, 2), c.param(i32, 3), from.se(), from.sig(), pre);
  });

  const binaryWith = (name: string, convert: Fn<typeof i32>, format?: NarrowFormat): Fn<undefined> =>
    m.function(name, [i32, i32, i32, i64], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      if (format) {
        const { normal, se, sig } = widenNormal(c, format, c.param(i64, 3));
        c.if(normal, () => {
          c.returnCall(binary, vcpu, c.param(i32, 1), c.param(i32, 2), I32.of(0), se, sig, I32.of(0));
        });
      }
      const pre = c.let(c.call(convert, vcpu, c.param(i64, 3)));
      c.returnCall(binary, vcpu, c.param(i32, 1), c.param(i32, 2), I32.of(0), ...result(vcpu), pre);
    });

  const compare = m.function('x87Compare', [i32, i32, i32, i64, i32], undefined, (c) => {
    const [vcpu, op, pre] = [c.param(i32, 0), c.param(i32, 1), c.param(i32, 4)];
    const a = new Register(c, vcpu, 0);
    const found = c.variable(i32, I32.of(UNDERFLOW | Status.C0 | Status.C2 | Status.C3));
    c.if(pre.and(Status.SF).or(a.empty()).eqz(), () => {
      const quiet = pre.and(After.quiet).ne(0);
      found.set(c.call(f.compare, vcpu, a.se(), a.sig(), c.param(i32, 2), c.param(i64, 3), pre.and(Status.DE), quiet));
    });
    const before = c.let(vcpu.load32(S.x87Status).and(Status.C1));
    const blocked = c.let(c.call(settle, vcpu, op, found.get).and(BEFORE_RESULT));
    const codes = c.let(found.get.and(Status.C0 | Status.C2 | Status.C3));
    c.if(
      pre.and(After.eflags),
      // C3, C2, C0 become ZF, PF, CF; C1 stays.
      () => {
        new Flags(c, vcpu).setStatus(codes.shrU(8));
        c.if(found.get.and(Status.SF).eqz(), () => setCodes(c, vcpu, before, Status.C1));
      },
      () => setCodes(c, vcpu, codes, Status.C0 | Status.C2 | Status.C3),
    );
    c.if(blocked, () => c.return());
    c.if(pre.and(After.pop | After.popTwice), () => pop(c, vcpu));
    c.if(pre.and(After.popTwice), () => pop(c, vcpu));
  });

  const compareRegister = m.function('x87CompareRegister', [i32, i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const b = new Register(c, vcpu, c.param(i32, 2));
    c.returnCall(compare, vcpu, c.param(i32, 1), b.se(), b.sig(), c.param(i32, 3).or(b.empty().shl(6)));
  });

  const compareWith = (name: string, convert: Fn<typeof i32>): Fn<undefined> =>
    m.function(name, [i32, i32, i64, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const pre = c.let(c.call(convert, vcpu, c.param(i64, 2)).or(c.param(i32, 3)));
      c.returnCall(compare, vcpu, c.param(i32, 1), ...result(vcpu), pre);
    });

  /** ST(0) := f(ST(0), and ST(1) when `operands` is 2). */
  const onTop = (
    name: string,
    params: readonly (typeof i32)[],
    operands: 1 | 2,
    compute: (c: Code, vcpu: I32, a: Register, b: Register) => I32,
    after?: (c: Code, vcpu: I32, exceptions: I32, blocked: I32) => void,
  ): Fn<undefined> =>
    m.function(name, [i32, i32, ...params], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const a = new Register(c, vcpu, 0);
      const b = new Register(c, vcpu, 1);
      const exceptions = c.variable(i32, I32.of(UNDERFLOW));
      const empty = operands === 2 ? a.empty().or(b.empty()) : a.empty();
      c.if(
        empty,
        () => c.drop(c.call(f.invalid, vcpu)),
        () => exceptions.set(compute(c, vcpu, a, b)),
      );
      const blocked = c.let(c.call(settle, vcpu, c.param(i32, 1), exceptions.get).and(BEFORE_RESULT));
      after?.(c, vcpu, exceptions.get, blocked);
      c.if(blocked.eqz(), () => a.fillFromResult());
    });

  const extract = m.function('x87Extract', [i32, i32], undefined, (c) => {
    // SDM Vol. 2A, "FXTRACT": the exponent replaces ST(0), then the significand is pushed.
    const [vcpu, op] = [c.param(i32, 0), c.param(i32, 1)];
    const a = new Register(c, vcpu, 0);
    const to = new Register(c, vcpu, 7);
    const both = (exceptions: I32 | number, exponent: () => void, significand: () => void): void => {
      c.if(c.call(settle, vcpu, op, I32.from(exceptions)).and(BEFORE_RESULT), () => c.return());
      moveTop(c, vcpu, -1);
      significand();
      exponent();
      c.return();
    };
    const indefinite = (exceptions: number): void =>
      both(
        exceptions,
        () => a.fillIndefinite(),
        () => to.fillIndefinite(),
      );
    c.if(a.empty(), () => indefinite(UNDERFLOW));
    c.if(to.empty().eqz(), () => indefinite(UNDERFLOW | Status.C1));
    const se = c.let(a.se());
    const sig = c.let(a.sig());
    const exp = c.let(se.and(MAX_EXPONENT));
    const sign = c.let(se.and(0x8000));
    c.if(exp.eq(MAX_EXPONENT).or(exp.ne(0).and(sig.geS(0))), () => {
      c.if(sig.eq(INTEGER_BIT), () =>
        both(
          0,
          () => a.fill(MAX_EXPONENT, INTEGER_BIT),
          () => to.fill(se, sig),
        ),
      );
      const exceptions = c.let(c.call(f.nan, vcpu, se, sig, se, sig));
      both(
        exceptions,
        () => a.fillFromResult(),
        () => to.fillFromResult(),
      );
    });
    c.if(sig.eqz(), () =>
      both(
        Status.ZE,
        () => a.fill(0xffff, INTEGER_BIT),
        () => to.fill(sign, 0n),
      ),
    );
    const shift = c.let(sig.clz());
    const exponent = exp.eqz().select(I32.of(1).sub(shift.wrap()), exp).sub(BIAS).extendS();
    both(
      exp.eqz().shl(1),
      () => {
        c.drop(c.call(f.fromInteger, vcpu, exponent));
        a.fillFromResult();
      },
      () => to.fill(sign.or(BIAS), sig.shl(shift)),
    );
  });

  /** The value of ST(0) in another format; an empty register gives that format's indefinite. */
  const store = (
    name: string,
    params: readonly (typeof i32)[],
    convert: (c: Code, vcpu: I32, se: I32, sig: I64) => I64,
  ): Fn<typeof i64> =>
    m.function(name, [i32, ...params], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const a = new Register(c, vcpu, 0);
      c.if(a.empty(), () => {
        const value = c.let(convert(c, vcpu, I32.of(INDEFINITE.se), I64.of(INDEFINITE.sig)));
        c.store32(vcpu, I32.of(UNDERFLOW), Result.exceptions);
        c.return(value);
      });
      c.return(convert(c, vcpu, a.se(), a.sig()));
      c.unreachable();
    });

  return {
    binary,
    binaryRegister,
    binarySingle: binaryWith('x87BinarySingle', f.fromSingle, FORMATS.single),
    binaryDouble: binaryWith('x87BinaryDouble', f.fromDouble, FORMATS.double),
    binaryInteger: binaryWith('x87BinaryInteger', f.fromInteger),
    compare,
    compareRegister,
    compareSingle: compareWith('x87CompareSingle', f.fromSingle),
    compareDouble: compareWith('x87CompareDouble', f.fromDouble),
    compareInteger: compareWith('x87CompareInteger', f.fromInteger),
    sqrt: onTop('x87Sqrt', [], 1, (c, vcpu, a) => c.call(f.sqrt, vcpu, a.se(), a.sig())),
    roundToInteger: onTop('x87RoundToInteger', [], 1, (c, vcpu, a) => c.call(f.roundToInteger, vcpu, a.se(), a.sig())),
    scale: onTop('x87Scale', [], 2, (c, vcpu, a, b) => c.call(f.scale, vcpu, a.se(), a.sig(), b.se(), b.sig())),
    remainder: onTop(
      'x87Remainder',
      [i32],
      2,
      (c, vcpu, a, b) => c.call(f.remainder, vcpu, a.se(), a.sig(), b.se(), b.sig(), c.param(i32, 2)),
      (c, vcpu, exceptions, blocked) => {
        // Without a quotient C0 and C3 stay.
        const codes = Status.C0 | Status.C1 | Status.C2 | Status.C3;
        const reduced = exceptions.and(REDUCED).ne(0).and(blocked.eqz());
        c.if(
          reduced,
          () => setCodes(c, vcpu, exceptions.and(codes), codes),
          () => setCodes(c, vcpu, 0, Status.C1 | Status.C2),
        );
      },
    ),
    extract,
    storeSingle: store('x87StoreSingle', [], (c, vcpu, se, sig) => c.call(f.toSingle, vcpu, se, sig)),
    storeDouble: store('x87StoreDouble', [], (c, vcpu, se, sig) => c.call(f.toDouble, vcpu, se, sig)),
    storeInteger: store('x87StoreInteger', [i32, i32], (c, vcpu, se, sig) => {
      const rounding = c.param(i32, 2).select(I32.of(3), roundingOf(vcpu));
      return c.call(f.toInteger, vcpu, se, sig, c.param(i32, 1), rounding);
    }),
    storeBcd: store('x87StoreBcd', [], (c, vcpu, se, sig) => c.call(f.toBcd, vcpu, se, sig)),
    storeExtended: store('x87StoreExtended', [], (c, vcpu, se, sig) => {
      c.store32(vcpu, I32.of(0), Result.exceptions);
      c.store32(vcpu, se, Result.se);
      return sig;
    }),
  };
}
