import type { Code, Variable } from '../wasm/code.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';

/*
 * Arithmetic on the double extended-precision format (SDM Vol. 1, "Floating-Point Data Types"). A value travels as two WebAssembly values: `se`, an i32
 * with sign (bit 15) and biased exponent, and `sig`, an i64 with the explicit integer bit at the top. Functions leave their result in the vCPU's scratch
 * area (`Result`) and return the exceptions they found, as bits of the status word; C1 among them tells that the result was rounded away from zero.
 */

const { i32, i64 } = ValType;

/** Bits of the x87 status word (SDM Vol. 1, "x87 FPU Status Register"). */
export const Status = {
  IE: 0x1,
  DE: 0x2,
  ZE: 0x4,
  OE: 0x8,
  UE: 0x10,
  PE: 0x20,
  SF: 0x40,
  ES: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  C3: 0x4000,
  B: 0x8000,
} as const;

export const EXCEPTIONS = 0x3f;
/** Precision control "double extended", for what precision control does not reach. */
export const FULL_PRECISION = 0x300;

/** Where results are left, as offsets from the vCPU. `exceptions` only where a function returns something else. */
export const Result = { sig: S.scratch, se: S.scratch + 8, exceptions: S.scratch + 12 } as const;

export const BIAS = 0x3fff;
export const MAX_EXPONENT = 0x7fff;
export const INTEGER_BIT = 1n << 63n;
/** The quiet NaN that an invalid operation gives: the real indefinite. */
export const INDEFINITE = { se: 0xffff, sig: 0xc000_0000_0000_0000n } as const;
/** How far the exponent of a result is moved when overflow or underflow is unmasked (SDM Vol. 1, "Numeric Overflow Exception"). */
export const UNMASKED_BIAS = 24576;

export const Rounding = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Rounding control of the control word. */
export const roundingOf = (vcpu: I32): I32 => vcpu.load32(S.x87Control).shrU(10).and(3);
/** Precision control, as functions take it. */
export const precisionOf = (vcpu: I32): I32 => vcpu.load32(S.x87Control).and(FULL_PRECISION);

export function setResult(c: Code, vcpu: I32, se: I32 | number, sig: I64 | bigint): void {
  c.store64(vcpu, I64.from(sig), Result.sig);
  c.store32(vcpu, I32.from(se), Result.se);
}

/** Normal: an exponent in range and the integer bit set. */
export const isNormal = (exponent: I32, sig: I64): I32 =>
  exponent
    .sub(1)
    .ltU(MAX_EXPONENT - 1)
    .and(sig.ltS(0));

/** A NaN, or an encoding that no operation takes: pseudo-infinity, pseudo-NaN, unnormal. */
export const isNanOrUnsupported = (exponent: I32, sig: I64): I32 =>
  exponent.eq(MAX_EXPONENT).select(sig.ne(INTEGER_BIT), exponent.ne(0).and(sig.geS(0)));

export const isUnsupported = (exponent: I32, sig: I64): I32 => exponent.ne(0).and(sig.geS(0));

/** An operand taken apart; `normalize` may change exponent and significand. */
export class Operand80 {
  readonly se: I32;
  readonly original: I64;
  readonly sign: I32;
  readonly exp: Variable<I32>;
  readonly sig: Variable<I64>;
  readonly #code: Code;

  constructor(code: Code, se: I32, sig: I64) {
    this.#code = code;
    this.se = se;
    this.original = sig;
    this.sign = code.let(se.and(0x8000));
    this.exp = code.variable(i32, se.and(MAX_EXPONENT));
    this.sig = code.variable(i64, sig);
  }
  normal(): I32 {
    return isNormal(this.exp.get, this.sig.get);
  }
  nanOrUnsupported(): I32 {
    return isNanOrUnsupported(this.exp.get, this.sig.get);
  }
  infinite(): I32 {
    return this.exp.get.eq(MAX_EXPONENT);
  }
  zero(): I32 {
    return this.sig.get.eqz();
  }
  /** Shifts a denormal up and notes it. A pseudo-denormal counts as one too, though its value needs no shift. */
  normalize(exceptions: Variable<I32>): void {
    const { exp, sig } = this;
    this.#code.if(exp.get.eqz().and(sig.get.eqz().eqz()), () => {
      const shift = this.#code.let(sig.get.clz());
      sig.set(sig.get.shl(shift));
      exp.set(I32.of(1).sub(shift.wrap()));
      exceptions.set(exceptions.get.or(Status.DE));
    });
  }
}
