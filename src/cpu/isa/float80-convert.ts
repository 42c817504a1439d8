import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';
import {
  BIAS,
  INTEGER_BIT,
  isNanOrUnsupported,
  isUnsupported,
  MAX_EXPONENT,
  Result,
  roundingOf,
  setResult,
  Status,
} from './float80.ts';
import { Rounder } from './float80-rounding.ts';

const { i32, i64 } = ValType;

/** Single and double precision: bits of exponent and fraction. */
export const FORMATS = { single: { exponent: 8, fraction: 23 }, double: { exponent: 11, fraction: 52 } } as const;
export type NarrowFormat = (typeof FORMATS)[keyof typeof FORMATS];

/** A number in one of them, widened where it is normal: most are. */
export function widenNormal(
  c: Code,
  { exponent, fraction }: NarrowFormat,
  bits: I64,
): { normal: I32; se: I32; sig: I64 } {
  const top = (1 << exponent) - 1;
  const high = c.let(bits.shrU(fraction).wrap());
  const exp = c.let(high.and(top));
  return {
    normal: exp.sub(1).ltU(top - 1),
    se: exp.add(BIAS - (top >> 1)).or(high.shrU(exponent).and(1).shl(15)),
    sig: bits.shl(63 - fraction).or(INTEGER_BIT),
  };
}

export interface Float80Convert {
  /** (vcpu, bits) → DE for a denormal; a signalling NaN stays one. */
  readonly fromSingle: Fn<typeof i32>;
  readonly fromDouble: Fn<typeof i32>;
  /** (vcpu, integer) → 0: always exact. */
  readonly fromInteger: Fn<typeof i32>;
  /** (vcpu, low 8 bytes, high 2 bytes) → 0 */
  readonly fromBcd: Fn<typeof i32>;
  /** (vcpu, se, sig) → bits; exceptions in `Result.exceptions`, as for all that follow. */
  readonly toSingle: Fn<typeof i64>;
  readonly toDouble: Fn<typeof i64>;
  /** (vcpu, se, sig, bits, rounding) → integer of 16, 32 or 64 bits, or the integer indefinite. */
  readonly toInteger: Fn<typeof i64>;
  /** (vcpu, se, sig) → low 8 bytes; the upper 2 in `Result.se`. */
  readonly toBcd: Fn<typeof i64>;
}

const setExceptions = (c: Code, vcpu: I32, exceptions: I32 | number): void =>
  c.store32(vcpu, I32.from(exceptions), Result.exceptions);

export function defineFloat80Convert(m: ModuleBuilder): Float80Convert {
  const fromInteger = m.function('f80FromInteger', [i32, i64], i32, (c) => {
    const value = c.param(i64, 1);
    const sign = c.let(value.ltS(0));
    const magnitude = c.let(sign.select(value.neg(), value));
    const shift = c.let(magnitude.clz());
    const exponent = I32.of(BIAS + 63)
      .sub(shift.wrap())
      .or(sign.shl(15));
    setResult(c, c.param(i32, 0), magnitude.eqz().select(I32.of(0), exponent), magnitude.shl(shift));
    c.return(I32.of(0));
    c.unreachable();
  });

  const fromBcd = m.function('f80FromBcd', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const low = c.param(i64, 1);
    const high = c.param(i32, 2);
    // Nine bytes of two digits; digits beyond 9 count as they are.
    const value = c.variable(i64, I64.of(0));
    const byte = c.variable(i64, high.and(0xff).extendU());
    const shift = c.variable(i64, I64.of(64));
    c.loop((_again, againIf) => {
      value.set(value.get.mul(100).add(byte.get.shrU(4).mul(10)).add(byte.get.and(15)));
      shift.set(shift.get.sub(8));
      byte.set(low.shrU(shift.get).and(0xff));
      againIf(shift.get.geS(0));
    });
    c.drop(c.call(fromInteger, vcpu, value.get));
    // The sign is not the integer's: there is a negative zero.
    c.store32(vcpu, vcpu.load32(Result.se).or(high.and(0x8000)), Result.se);
    c.return(I32.of(0));
    c.unreachable();
  });

  const fromFormat = (name: string, { exponent, fraction }: NarrowFormat): Fn<typeof i32> =>
    m.function(name, [i32, i64], i32, (c) => {
      const vcpu = c.param(i32, 0);
      const bits = c.param(i64, 1);
      const top = (1 << exponent) - 1;
      const sign = c.let(
        bits
          .shrU(exponent + fraction)
          .wrap()
          .and(1)
          .shl(15),
      );
      const exp = c.let(bits.shrU(fraction).wrap().and(top));
      const sig = c.let(bits.shl(63 - fraction).and(INTEGER_BIT - 1n));
      const give = (se: I32, significand: I64, exceptions: number): void => {
        setResult(c, vcpu, se.or(sign), significand);
        c.return(I32.of(exceptions));
      };
      c.if(exp.eqz(), () => {
        c.if(sig.eqz(), () => give(I32.of(0), sig, 0));
        const shift = c.let(sig.clz());
        give(I32.of(BIAS - (top >> 1) + 1).sub(shift.wrap()), sig.shl(shift), Status.DE);
      });
      const rebiased = exp.eq(top).select(I32.of(MAX_EXPONENT), exp.add(BIAS - (top >> 1)));
      give(rebiased, sig.or(INTEGER_BIT), 0);
      c.unreachable();
    });

  const toFormat = (name: string, { exponent, fraction }: NarrowFormat): Fn<typeof i64> =>
    m.function(name, [i32, i32, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const se = c.param(i32, 1);
      const sig = c.param(i64, 2);
      const top = (1 << exponent) - 1;
      const drop = 63 - fraction;
      const exp = c.let(se.and(MAX_EXPONENT));
      const sign = c.let(se.shrU(15).and(1));
      const signBit = c.let(sign.extendU().shl(exponent + fraction));
      const infinity = BigInt(top) << BigInt(fraction);
      const give = (value: I64, exceptions: I32 | number): void => {
        setExceptions(c, vcpu, exceptions);
        c.return(value.or(signBit));
      };
      c.if(isNanOrUnsupported(exp, sig), () => {
        c.if(isUnsupported(exp, sig), () => {
          setExceptions(c, vcpu, Status.IE);
          c.return(
            I64.of(BigInt.asIntN(64, (infinity | (1n << BigInt(fraction - 1))) + (1n << BigInt(exponent + fraction)))),
          );
        });
        const quiet = sig
          .shrU(drop)
          .and((1n << BigInt(fraction)) - 1n)
          .or(1n << BigInt(fraction - 1));
        give(quiet.or(infinity), sig.shrU(62).wrap().not().and(1));
      });
      c.if(exp.eq(MAX_EXPONENT), () => give(I64.of(infinity), 0));
      c.if(sig.eqz(), () => give(I64.of(0), 0));
      const control = c.let(vcpu.load32(S.x87Control));
      // A denormal of the wide format is far below the smallest of the narrow ones: its true exponent does not matter.
      const e = c.let(exp.sub(BIAS - (top >> 1)));
      const r = new Rounder(c, vcpu, sign, sig, I64.of(0));
      const carried = c.variable(i32, e);
      r.drop(I64.of(drop));
      r.round(() => carried.set(e.add(1)));
      c.if(carried.get.geS(top), () => {
        c.if(control.and(Status.OE).eqz(), () => give(I64.of(0), Status.OE));
        const directed = sign.select(I32.of(1), I32.of(2));
        const away = c.let(r.rounding.eqz().or(r.rounding.eq(directed)));
        give(I64.of(infinity).sub(away.eqz().extendU()), away.shl(9).or(Status.OE | Status.PE));
      });
      c.if(carried.get.leS(0), () => {
        c.if(control.and(Status.UE).eqz(), () => give(I64.of(0), Status.UE));
        const d = new Rounder(c, vcpu, sign, sig, I64.of(0), r.rounding);
        d.shiftRight(I32.of(1).sub(e));
        d.drop(I64.of(drop));
        d.round(() => undefined);
        give(d.value.get.shrU(drop), d.inexact().or(d.rest.get.ne(0).shl(4)));
      });
      // Rounding up to the smallest normal number from below it is no underflow. Elsewhere the integer bit adds 1 to the exponent field.
      c.if(e.eqz(), () => {
        const d = new Rounder(c, vcpu, sign, sig, I64.of(0), r.rounding);
        d.shiftRight(I32.of(1));
        d.drop(I64.of(drop));
        d.round(() => undefined);
        give(d.value.get.shrU(drop), d.inexact());
      });
      give(carried.get.sub(1).extendS().shl(fraction).add(r.value.get.shrU(drop)), r.inexact());
      c.unreachable();
    });

  /** (vcpu, se, sig, rounding) → magnitude of the integer, exceptions stored; -1 with IE for what is no integer of 64 bits. */
  const magnitude = m.function('f80Magnitude', [i32, i32, i64, i32], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const se = c.param(i32, 1);
    const sig = c.param(i64, 2);
    const exp = c.let(se.and(MAX_EXPONENT));
    setExceptions(c, vcpu, 0);
    c.if(sig.eqz().and(exp.eqz()), () => c.return(I64.of(0)));
    c.if(exp.gtS(BIAS + 63).or(isUnsupported(exp, sig)), () => {
      setExceptions(c, vcpu, Status.IE);
      c.return(I64.of(-1));
    });
    const r = new Rounder(c, vcpu, se.and(0x8000), sig, I64.of(0), c.param(i32, 3));
    const shift = c.let(I32.of(BIAS + 63).sub(exp));
    c.if(shift.ne(0), () => {
      r.shiftRight(shift);
      r.round(() => undefined);
    });
    setExceptions(c, vcpu, r.inexact());
    c.return(r.value.get);
    c.unreachable();
  });

  const toInteger = m.function('f80ToInteger', [i32, i32, i64, i32, i32], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const se = c.param(i32, 1);
    const value = c.let(c.call(magnitude, vcpu, se, c.param(i64, 2), c.param(i32, 4)));
    const negative = c.let(se.shrU(15).and(1).extendU());
    const half = c.let(I64.of(1).shl(c.param(i32, 3).sub(1).extendU()));
    c.if(value.gtU(half.sub(1).add(negative)), () => {
      setExceptions(c, vcpu, Status.IE);
      c.return(half);
    });
    c.return(value.xor(negative.neg()).add(negative));
    c.unreachable();
  });

  const toBcd = m.function('f80ToBcd', [i32, i32, i64], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const se = c.param(i32, 1);
    const rest = c.variable(i64, c.call(magnitude, vcpu, se, c.param(i64, 2), roundingOf(vcpu)));
    c.if(rest.get.gtU(999_999_999_999_999_999n), () => {
      // The packed BCD indefinite (SDM Vol. 1, "BCD and Packed BCD Integers").
      setExceptions(c, vcpu, Status.IE);
      c.store32(vcpu, I32.of(0xffff), Result.se);
      c.return(I64.of(0xc000_0000_0000_0000n));
    });
    const low = c.variable(i64, I64.of(0));
    const shift = c.variable(i64, I64.of(0));
    c.loop((_again, againIf) => {
      const pair = c.let(rest.get.remU(100));
      low.set(low.get.or(pair.add(pair.divU(10).mul(6)).shl(shift.get)));
      rest.set(rest.get.divU(100));
      shift.set(shift.get.add(8));
      againIf(shift.get.ne(64));
    });
    const last = rest.get.add(rest.get.divU(10).mul(6)).wrap();
    c.store32(vcpu, last.or(se.and(0x8000)), Result.se);
    c.return(low.get);
    c.unreachable();
  });

  return {
    fromSingle: fromFormat('f80FromSingle', FORMATS.single),
    fromDouble: fromFormat('f80FromDouble', FORMATS.double),
    fromInteger,
    fromBcd,
    toSingle: toFormat('f80ToSingle', FORMATS.single),
    toDouble: toFormat('f80ToDouble', FORMATS.double),
    toInteger,
    toBcd,
  };
}
