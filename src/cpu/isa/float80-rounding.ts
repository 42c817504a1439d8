import type { Code, Fn, Variable } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';
import {
  FULL_PRECISION,
  INTEGER_BIT,
  MAX_EXPONENT,
  Rounding,
  roundingOf,
  setResult,
  Status,
  UNMASKED_BIAS,
} from './float80.ts';

const { i32, i64 } = ValType;

/** Rounding control in the control word. */
const ROUNDING = 0xc00;

/** Rounds `value` and the bits below it in `rest` to a multiple of `ulp`: the steps that all roundings share. */
export class Rounder {
  readonly vcpu: I32;
  readonly sign: I32;
  readonly rounding: I32;
  readonly value: Variable<I64>;
  readonly rest: Variable<I64>;
  readonly ulp: Variable<I64>;
  readonly up: Variable<I32>;
  readonly #code: Code;

  constructor(c: Code, vcpu: I32, sign: I32, value: I64, rest: I64, rounding = c.let(roundingOf(vcpu))) {
    this.#code = c;
    this.vcpu = vcpu;
    this.sign = sign;
    this.rounding = rounding;
    this.value = c.variable(i64, value);
    this.rest = c.variable(i64, rest);
    this.ulp = c.variable(i64, I64.of(1));
    this.up = c.variable(i32, I32.of(0));
  }

  /** Moves the lowest `bits` of the value (1…63) into the rest. */
  drop(bits: I64): void {
    const { value, rest, ulp } = this;
    ulp.set(I64.of(1).shl(bits));
    const sticky = rest.get.ne(0).extendU();
    rest.set(value.get.shl(I64.of(64).sub(bits)).or(sticky));
    value.set(value.get.and(I64.of(0).sub(ulp.get)));
  }

  /** Applies precision control: 24 or 53 bits instead of 64; the reserved encoding 1 means 64 as well. */
  control(precision: I32): void {
    this.#code.if(precision.and(0x100).eqz(), () => {
      this.drop(precision.ne(0).select(I64.of(11), I64.of(40)));
    });
  }

  /** Shifts value and rest right by 1 or more, keeping the last bit of the rest sticky. */
  shiftRight(bits: I32): void {
    const { value, rest } = this;
    const c = this.#code;
    c.if(
      bits.ltS(64),
      () => {
        const by = c.let(bits.extendU());
        const opposite = c.let(I64.of(64).sub(by));
        const sticky = rest.get.shl(opposite).ne(0).extendU();
        rest.set(value.get.shl(opposite).or(rest.get.shrU(by)).or(sticky));
        value.set(value.get.shrU(by));
      },
      () => {
        const sticky = rest.get.ne(0).extendU();
        rest.set(bits.eq(64).select(value.get.or(sticky), value.get.or(rest.get).ne(0).extendU()));
        value.set(I64.of(0));
      },
    );
  }

  /** The rounding itself; `carried` is what to do when the significand overflows to the next power of two. */
  round(carried: () => void): void {
    const c = this.#code;
    const { value, rest, rounding, sign, ulp, up } = this;
    up.set(I32.of(0));
    c.if(rest.get.eqz().eqz(), () => {
      const odd = value.get.and(ulp.get).ne(0);
      const nearest = rest.get.ltS(0).and(rest.get.shl(1).ne(0).or(odd));
      const directed = sign.ne(0).select(rounding.eq(Rounding.down), rounding.eq(Rounding.up));
      up.set(rounding.eqz().select(nearest, directed));
      c.if(up.get, () => {
        value.set(value.get.add(ulp.get));
        c.if(value.get.ltU(ulp.get), () => {
          value.set(I64.of(INTEGER_BIT));
          carried();
        });
      });
    });
  }

  /** PE when bits were lost, with C1 when the magnitude grew. */
  inexact(): I32 {
    return this.rest.get.ne(0).shl(5).or(this.up.get.shl(9));
  }
}

export interface Float80Rounding {
  /**
   * (vcpu, sign, exponent, sig, rest, precision) → exceptions. `sig` is normalized; `rest` holds the 64 bits below it, the last of them sticky. The
   * exponent is biased and may be out of range.
   */
  readonly roundPack: Fn<typeof i32>;
}

export function defineFloat80Rounding(m: ModuleBuilder): Float80Rounding {
  const signature = [i32, i32, i32, i64, i64, i32];
  const roundPack = m.declare('f80RoundPack', signature, i32);
  const overflow = m.declare('f80Overflow', signature, i32);
  const underflow = m.declare('f80Underflow', signature, i32);
  const parameters = (c: Code) => ({
    vcpu: c.param(i32, 0),
    sign: c.param(i32, 1),
    exp: c.param(i32, 2),
    sig: c.param(i64, 3),
    rest: c.param(i64, 4),
    precision: c.param(i32, 5),
  });

  m.define(roundPack, (c) => {
    const { vcpu, sign, exp, sig, rest, precision } = parameters(c);
    c.if(exp.sub(1).geU(MAX_EXPONENT - 1), () => {
      c.if(exp.leS(0), () => c.returnCall(underflow, vcpu, sign, exp, sig, rest, precision));
      c.returnCall(overflow, vcpu, sign, exp, sig, rest, precision);
    });
    // To nearest, all 64 bits, and not to the next power of two: what nearly all operations come to.
    const control = vcpu.load32(S.x87Control).and(FULL_PRECISION | ROUNDING);
    c.if(control.eq(FULL_PRECISION).and(precision.eq(FULL_PRECISION)).and(sig.ne(-1)), () => {
      const up = c.let(rest.ltS(0).and(rest.shl(1).ne(0).or(sig.wrap().and(1))));
      setResult(c, vcpu, sign.or(exp), sig.add(up.extendU()));
      c.return(rest.ne(0).shl(5).or(up.shl(9)));
    });
    const r = new Rounder(c, vcpu, sign, sig, rest);
    r.control(precision);
    const rounded = c.variable(i32, exp);
    r.round(() => rounded.set(exp.add(1)));
    c.if(rounded.get.eq(MAX_EXPONENT), () => c.returnCall(overflow, vcpu, sign, exp, sig, rest, precision));
    setResult(c, vcpu, sign.or(rounded.get), r.value.get);
    c.return(r.inexact());
    c.unreachable();
  });

  m.define(overflow, (c) => {
    const { vcpu, sign, exp, sig, rest, precision } = parameters(c);
    c.if(vcpu.load32(S.x87Control).and(Status.OE).eqz(), () => {
      // Only FSCALE gets out of range by more than the bias corrects: that is an infinity or, below, a zero in every rounding mode.
      c.if(exp.geS(UNMASKED_BIAS + MAX_EXPONENT), () => {
        setResult(c, vcpu, sign.or(MAX_EXPONENT), INTEGER_BIT);
        c.return(I32.of(Status.OE | Status.PE | Status.C1));
      });
      c.return(c.call(roundPack, vcpu, sign, exp.sub(UNMASKED_BIAS), sig, rest, precision).or(Status.OE));
    });
    const r = new Rounder(c, vcpu, sign, sig, rest);
    r.control(precision);
    const directed = sign.ne(0).select(I32.of(Rounding.down), I32.of(Rounding.up));
    const away = c.let(r.rounding.eqz().or(r.rounding.eq(directed)));
    // Infinity, or the largest finite number of this precision.
    const largest = I64.of(0).sub(r.ulp.get);
    setResult(c, vcpu, sign.or(MAX_EXPONENT - 1).add(away), away.select(I64.of(INTEGER_BIT), largest));
    c.return(away.shl(9).or(Status.OE | Status.PE));
    c.unreachable();
  });

  m.define(underflow, (c) => {
    const { vcpu, sign, exp, sig, rest, precision } = parameters(c);
    // Tiny after rounding (SDM Vol. 1, "Numeric Underflow Exception"): unless rounding, were exponents unlimited, gives the smallest normal number.
    const tiny = c.variable(i32, I32.of(Status.UE));
    const unlimited = new Rounder(c, vcpu, sign, sig, rest);
    unlimited.control(precision);
    unlimited.round(() => c.if(exp.eqz(), () => tiny.set(I32.of(0))));
    c.if(vcpu.load32(S.x87Control).and(tiny.get).eqz().and(tiny.get.ne(0)), () => {
      c.if(exp.leS(-UNMASKED_BIAS), () => {
        setResult(c, vcpu, sign, 0n);
        c.return(I32.of(Status.UE | Status.PE));
      });
      c.return(c.call(roundPack, vcpu, sign, exp.add(UNMASKED_BIAS), sig, rest, precision).or(Status.UE));
    });
    const r = new Rounder(c, vcpu, sign, sig, rest, unlimited.rounding);
    r.shiftRight(I32.of(1).sub(exp));
    r.control(precision);
    r.round(() => undefined);
    setResult(c, vcpu, sign.or(r.value.get.ltS(0)), r.value.get);
    c.return(r.inexact().or(r.rest.get.eqz().select(I32.of(0), tiny.get)));
    c.unreachable();
  });

  return { roundPack };
}
