import type { Code } from './wasm/code.ts';
import { type I32, I64 } from './wasm/value.ts';
import { S } from './state-layout.ts';

/** RFLAGS bits (SDM Vol. 1, "EFLAGS Register"). */
export const Flag = {
  CF: 1 << 0,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  DF: 1 << 10,
  OF: 1 << 11,
  IOPL: 3 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  AC: 1 << 18,
  ID: 1 << 21,
} as const;
export const STATUS_FLAGS = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF;

/*
 * The status flags are kept lazily as two values that every arithmetic operation can produce in a few steps and from which each flag can be had
 * without knowing which operation it was:
 *   result  the result, sign-extended to 64 bits: ZF, and SF and PF up to the corrections below
 *   aux     bit 31 CF; bit 30 the carry out of the bit below the sign, so OF = bit 31 ^ bit 30; bit 3 AF;
 *           bits 15:8 are XORed into the result's low byte for PF; bit 0 is XORed into the sign for SF.
 * The corrections let POPF and SAHF express combinations that no result has (ZF with SF, say).
 */
export const Aux = { CF: 31, PO: 30, AF: 3, parity: 8, sign: 0 } as const;

/** `value` (zero-extended, `bits` wide) sign-extended to 64 bits. */
export function signExtend(bits: number, value: I64): I64 {
  if (bits === 64) return value;
  if (bits === 32) return value.extend32S();
  return bits === 16 ? value.extend16S() : value.extend8S();
}

/** Truncates to `bits`, zero-extended. */
export function truncate(bits: number, value: I64): I64 {
  if (value.bits <= bits) return value;
  return bits === 32 ? value.wrap().extendU() : value.and((1n << BigInt(bits)) - 1n);
}

/** aux from the vector of carries out of each bit. */
export const auxOfCarries = (bits: number, carries: I64): I32 =>
  carries
    .shrU(bits - 2)
    .wrap()
    .shl(30)
    .or(carries.wrap().and(1 << Aux.AF));

/** Lazy status flags of the vCPU at `vcpu`. Operands are zero-extended, `bits` wide, and cheap to use twice (locals). */
export class Flags {
  protected readonly code: Code;
  protected readonly vcpu: I32;

  constructor(code: Code, vcpu: I32) {
    this.code = code;
    this.vcpu = vcpu;
  }

  /** After result = a + b; with `carried`, plus a carry. */
  add(bits: number, a: I64, b: I64, result: I64, _carried = false): void {
    const carries = this.code.let(a.and(b).or(a.or(b).and(result.not())));
    this.set(bits, result, auxOfCarries(bits, carries));
  }

  /** After result = a - b; with `borrowed`, less a borrow. */
  sub(bits: number, a: I64, b: I64, result: I64, _borrowed = false): void {
    const notA = this.code.let(a.not());
    const borrows = this.code.let(notA.and(b).or(notA.or(b).and(result)));
    this.set(bits, result, auxOfCarries(bits, borrows));
  }

  /** CF, OF and AF clear. */
  logic(bits: number, result: I64): void {
    this.code.store64(this.vcpu, signExtend(bits, result), S.flagResult);
    this.code.store32(this.vcpu, I64.of(0), S.flagAux);
  }

  /** ZF SF PF from the result; CF, OF, AF as 0/1 values. */
  explicit(bits: number, result: I64, carry: I32, overflow: I32, adjust?: I32): void {
    const cf = this.code.let(carry);
    let aux = cf.shl(31).or(cf.xor(overflow).shl(30));
    if (adjust) aux = aux.or(adjust.shl(Aux.AF));
    this.set(bits, result, aux);
  }

  set(bits: number, result: I64, aux: I32): void {
    this.code.store64(this.vcpu, signExtend(bits, result), S.flagResult);
    this.code.store32(this.vcpu, aux, S.flagAux);
  }

  /** After result = a + by, of INC and DEC: CF stays. */
  step(bits: number, by: 1 | -1, a: I64, result: I64): void {
    const carry = this.code.let(this.carry());
    const one = this.code.let(I64.of(1));
    if (by === 1) this.add(bits, a, one, result);
    else this.sub(bits, a, one, result);
    this.setCarry(carry);
  }

  /** Replaces CF (and leaves OF as it is). */
  setCarry(carry: I32): void {
    const overflow = this.code.let(this.overflow());
    const cf = this.code.let(carry);
    const rest = this.#aux().and(0x3fff_ffff);
    this.code.store32(this.vcpu, rest.or(cf.shl(31)).or(cf.xor(overflow).shl(30)), S.flagAux);
  }

  /** Replaces CF and OF. */
  setCarryOverflow(carry: I32, overflow: I32): void {
    const cf = this.code.let(carry);
    const rest = this.#aux().and(0x3fff_ffff);
    this.code.store32(this.vcpu, rest.or(cf.shl(31)).or(cf.xor(overflow).shl(30)), S.flagAux);
  }

  #aux(): I32 {
    return this.vcpu.load32(S.flagAux);
  }
  #result(): I64 {
    return this.vcpu.load64(S.flagResult);
  }
  carry(): I32 {
    return this.#aux().shrU(31);
  }
  overflow(): I32 {
    const aux = this.code.let(this.#aux());
    return aux.shrU(31).xor(aux.shrU(30).and(1));
  }
  adjust(): I32 {
    return this.#aux().shrU(Aux.AF).and(1);
  }
  zero(): I32 {
    return this.#result().eqz();
  }
  sign(): I32 {
    return this.#result().shrU(63).wrap().xor(this.#aux().and(1));
  }
  parity(): I32 {
    const low = this.#result().wrap().xor(this.#aux().shrU(Aux.parity)).and(0xff);
    return low.popcnt().and(1).xor(1);
  }

  /** Condition code of Jcc, SETcc, CMOVcc (SDM Vol. 1, "EFLAGS Condition Codes"): 0/1. */
  condition(cc: number): I32 {
    const positive = ((): I32 => {
      switch (cc >> 1) {
        case 0:
          return this.overflow();
        case 1:
          return this.carry();
        case 2:
          return this.zero();
        case 3:
          return this.carry().or(this.zero());
        case 4:
          return this.sign();
        case 5:
          return this.parity();
        case 6:
          return this.sign().xor(this.overflow());
        default:
          return this.zero().or(this.sign().xor(this.overflow()));
      }
    })();
    return (cc & 1) === 0 ? positive : positive.xor(1);
  }

  /** The six status flags in their RFLAGS places. */
  status(): I32 {
    const part = (flag: I32, bit: number): I32 => flag.shl(bit);
    return part(this.carry(), 0)
      .or(part(this.parity(), 2))
      .or(part(this.adjust(), 4))
      .or(part(this.zero(), 6))
      .or(part(this.sign(), 7))
      .or(part(this.overflow(), 11));
  }

  /** What `set` does to the flags happens only under a condition. */
  when(condition: I32, set: () => void): void {
    this.code.if(condition, set);
  }

  /** Replaces ZF alone. */
  setZero(zero: I32): void {
    this.setStatus(this.status().and(~Flag.ZF).or(zero.shl(6)));
  }

  /** Sets the six status flags from an RFLAGS image. */
  setStatus(image: I32): void {
    const f = this.code.let(image);
    const bit = (n: number): I32 => f.shrU(n).and(1);
    this.code.store64(this.vcpu, bit(6).xor(1).extendU(), S.flagResult);
    const aux = bit(0)
      .shl(Aux.CF)
      .or(bit(0).xor(bit(11)).shl(Aux.PO))
      .or(bit(4).shl(Aux.AF))
      .or(bit(6).xor(bit(2)).shl(Aux.parity))
      .or(bit(7).shl(Aux.sign));
    this.code.store32(this.vcpu, aux, S.flagAux);
  }

  /** All of RFLAGS with bit 1. */
  image(): I32 {
    return this.status().or(this.vcpu.load32(S.flagsRest)).or(2);
  }
}
