import { S } from '../state-layout.ts';
import type { Code, Fn, Variable } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';

/*
 * Single and double precision with everything that WebAssembly's own arithmetic lacks: rounding modes, denormals-are-zero, flush-to-zero, NaNs, exceptions.
 * A number's format is given by `m`, the bits of its fraction (23 or 52), as a run-time value, so that both formats share the code: this is the slow path.
 * Numbers travel as their bits in an i64. Exceptions gather in S.mxcsrPending.
 */

const { i32, i64 } = ValType;

/** MXCSR exception flags; masks are the same bits 7 places up (SDM Vol. 1, "MXCSR Control and Status Register"). */
export const Mx = {
  IE: 1,
  DE: 2,
  ZE: 4,
  OE: 8,
  UE: 16,
  PE: 32,
  DAZ: 1 << 6,
  masks: 7,
  roundingShift: 13,
  FTZ: 1 << 15,
} as const;
export const Rounding = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

export const note = (c: Code, vcpu: I32, exceptions: number): void =>
  c.store32(vcpu, vcpu.load32(S.mxcsrPending).or(exceptions), S.mxcsrPending);

export const roundingOf = (vcpu: I32): I32 => vcpu.load32(S.mxcsr).shrU(Mx.roundingShift).and(3);

const ONE = I64.of(1);
/** Values that depend on the format alone. */
export class Format {
  readonly m: I32;
  readonly #c: Code;
  constructor(c: Code, m: I32) {
    this.#c = c;
    this.m = m;
  }
  #pick(double: bigint, single: bigint): I64 {
    return this.#c.let(this.m.eq(52).select(I64.of(double), I64.of(single)));
  }
  get bias(): I32 {
    return this.m.eq(52).select(I32.of(1023), I32.of(127));
  }
  get sign(): I64 {
    return this.#pick(1n << 63n, 1n << 31n);
  }
  get infinity(): I64 {
    return this.#pick(0x7ff0_0000_0000_0000n, 0x7f80_0000n);
  }
  get quietBit(): I64 {
    return this.#pick(1n << 51n, 1n << 22n);
  }
  /** The quiet NaN of an invalid operation: SDM Vol. 1, "QNaN Floating-Point Indefinite". */
  get indefinite(): I64 {
    return this.#pick(0xfff8_0000_0000_0000n, 0xffc0_0000n);
  }
  get smallestNormal(): I64 {
    return ONE.shl(this.m.extendU());
  }
}

/** An operand of the slow path. */
export class SoftNumber {
  readonly bits: Variable<I64>;
  readonly #c: Code;
  readonly #f: Format;
  readonly #sign: I64;
  constructor(c: Code, f: Format, bits: I64) {
    this.#c = c;
    this.#f = f;
    this.#sign = c.let(f.sign);
    this.bits = c.variable(i64, bits);
  }
  get magnitude(): I64 {
    return this.bits.get.and(this.#sign.not());
  }
  get signed(): I32 {
    return this.bits.get.and(this.#sign).ne(0);
  }
  get signBit(): I64 {
    return this.bits.get.and(this.#sign);
  }
  isNan(infinity: I64): I32 {
    return this.magnitude.gtU(infinity);
  }
  isInfinite(infinity: I64): I32 {
    return this.magnitude.eq(infinity);
  }
  isZero(): I32 {
    return this.magnitude.eqz();
  }
  isDenormal(): I32 {
    return this.magnitude.sub(1).ltU(this.#f.smallestNormal.sub(1));
  }
  isSignaling(infinity: I64, quiet: I64): I32 {
    return this.isNan(infinity).and(this.magnitude.and(quiet).eqz());
  }
  flushIfDenormal(vcpu: I32): void {
    this.#c.if(vcpu.load32(S.mxcsr).and(Mx.DAZ).and(this.isDenormal().shl(6)), () => this.bits.set(this.signBit));
  }
  /** Exponent and significand (top bit set) of a finite number that is not zero. */
  unpack(): { exponent: I32; significand: I64 } {
    const c = this.#c;
    const { m } = this.#f;
    const biased = c.let(this.magnitude.shrU(m.extendU()).wrap());
    const fraction = c.let(this.magnitude.and(this.#f.smallestNormal.sub(1)));
    const significand = c.variable(i64);
    const exponent = c.variable(i32);
    const top = c.let(I32.of(63).sub(m));
    c.if(
      biased.eqz(),
      () => {
        const shift = c.let(fraction.clz());
        significand.set(fraction.shl(shift));
        exponent.set(I32.of(1).sub(this.#f.bias).sub(shift.wrap().sub(top)));
      },
      () => {
        significand.set(fraction.or(this.#f.smallestNormal).shl(top.extendU()));
        exponent.set(biased.sub(this.#f.bias));
      },
    );
    return { exponent: exponent.get, significand: significand.get };
  }
}

/** Denormals-are-zero, NaNs and the denormal exception: what all two-operand arithmetic begins with. Returns from the function when an operand is a NaN. */
export function beginSoft(c: Code, vcpu: I32, f: Format, numbers: readonly SoftNumber[]): { infinity: I64 } {
  const { infinity, quietBit } = f;
  for (const n of numbers) n.flushIfDenormal(vcpu);
  const nan = numbers.map((n) => n.isNan(infinity)).reduce((x, y) => x.or(y));
  c.if(nan, () => {
    for (const n of numbers) c.if(n.isSignaling(infinity, quietBit), () => note(c, vcpu, Mx.IE));
    // The first operand that is a NaN, made quiet (SDM Vol. 1, "Rules for Handling NaNs").
    for (const n of numbers) c.if(n.isNan(infinity), () => c.return(n.bits.get.or(quietBit)));
  });
  return { infinity };
}

export function noteDenormals(c: Code, vcpu: I32, numbers: readonly SoftNumber[]): void {
  c.if(
    numbers.map((n) => n.isDenormal()).reduce((x, y) => x.or(y)),
    () => note(c, vcpu, Mx.DE),
  );
}

/** significand >> count, where bits shifted out leave a one in the lowest place. */
export function shiftSticky(c: Code, significand: I64, count: I64): I64 {
  const n = c.let(count);
  const lost = c.let(significand.and(ONE.shl(n).sub(1)).ne(0).extendU());
  const far = significand.ne(0).extendU();
  return c.let(n.geU(64).select(far, significand.shrU(n).or(lost)));
}

/** (vcpu, m, negative, exponent, significand) → bits: rounds significand / 2^63 × 2^exponent; its lowest bit may stand for all that follow. */
export function defineRoundPack(m: ModuleBuilder): Fn<typeof i64> {
  return m.function('sseRoundPack', [i32, i32, i32, i32, i64], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const f = new Format(c, c.param(i32, 1));
    const negative = c.param(i32, 2);
    const exponent = c.variable(i32, c.param(i32, 3));
    const significand = c.param(i64, 4);
    const mxcsr = c.let(vcpu.load32(S.mxcsr));
    const rounding = c.let(roundingOf(vcpu));
    const sign = c.let(negative.select(f.sign, I64.of(0)));
    const infinity = f.infinity;
    const extra = c.let(I32.of(63).sub(f.m).extendU());
    const away = c.let(rounding.eq(Rounding.down).and(negative).or(rounding.eq(Rounding.up).and(negative.eqz())));
    const rest = (s: I64): I64 => c.let(s.and(ONE.shl(extra).sub(1)));
    const round = (s: I64): I64 => {
      const q = c.let(s.shrU(extra));
      const r = rest(s);
      const half = c.let(ONE.shl(extra.sub(1)));
      const nearestUp = r.gtU(half).or(r.eq(half).and(q.wrap().and(1)));
      const up = rounding.eqz().select(nearestUp, away.and(r.ne(0)));
      return c.let(q.add(up.extendU()));
    };
    const rounded = c.variable(i64, round(significand));
    const inexact = c.let(rest(significand).ne(0));
    const emin = c.let(I32.of(1).sub(f.bias));
    const carry = c.let(rounded.get.shrU(f.m.add(1).extendU()).ne(0));

    // Tiny: below the smallest normal number even when rounded as if the exponent had no bounds (SDM Vol. 1, "Numeric Underflow Exception").
    c.if(exponent.get.ltS(emin.sub(carry)), () => {
      c.if(mxcsr.and(Mx.UE << Mx.masks).eqz(), () => {
        note(c, vcpu, Mx.UE);
        c.if(inexact, () => note(c, vcpu, Mx.PE));
        c.return(sign);
      });
      c.if(mxcsr.and(Mx.FTZ), () => {
        note(c, vcpu, Mx.UE | Mx.PE);
        c.return(sign);
      });
      const shifted = shiftSticky(c, significand, emin.sub(exponent.get).extendU());
      c.if(rest(shifted).ne(0), () => note(c, vcpu, Mx.UE | Mx.PE));
      c.return(sign.or(round(shifted)));
    });
    c.if(inexact, () => note(c, vcpu, Mx.PE));
    c.if(carry, () => {
      rounded.set(rounded.get.shrU(1));
      exponent.set(exponent.get.add(1));
    });
    c.if(exponent.get.gtS(f.bias), () => {
      // Masked, what is delivered in its place is inexact.
      note(c, vcpu, Mx.OE);
      c.if(mxcsr.and(Mx.OE << Mx.masks), () => note(c, vcpu, Mx.PE));
      const toInfinity = rounding.eqz().or(away);
      c.return(sign.or(toInfinity.select(infinity, infinity.sub(1))));
    });
    // The significand's top bit adds the last one to the exponent.
    c.return(sign.or(exponent.get.add(f.bias).sub(1).extendU().shl(f.m.extendU()).add(rounded.get)));
    c.unreachable();
  });
}
