import { Aux, auxOfCarries, Flags } from './flags.ts';
import type { Code, Fn } from './wasm/code.ts';
import { I32, I64, ValType } from './wasm/value.ts';
import { S } from './state-layout.ts';

/**
 * How translated code says where the status flags come from, when it leaves the working out to a helper: what operation it was, its result, and one more
 * value.
 */
export const FlagKind = {
  /** The state has them. */
  memory: 0,
  /** a + b = result; source b */
  add: 1,
  /** a - b = result; source b */
  sub: 2,
  logic: 3,
  /** Source is the state's `flagAux` word. */
  aux: 4,
  /** Source is an RFLAGS image. */
  image: 5,
  /** a + 1 = result; CF is that of another operation */
  increment: 8,
  /** a - 1 = result; CF is that of another operation */
  decrement: 9,
} as const;

/** The bit of those that leave CF alone. */
export const STEP = 8;

/** The operation's number: kind, and its width in bits from bit 8 on. */
export const syncOperation = (kind: number, bits: number): number => kind | (bits << 8);

/** (vcpu, operation, result zero-extended, source) → CF */
export function writeCarryOf(c: Code): void {
  const vcpu = c.param(ValType.i32, 0);
  const operation = c.param(ValType.i32, 1);
  const result = c.param(ValType.i64, 2);
  const source = c.param(ValType.i64, 3);
  const unused = c.let(I64.of(64).sub(operation.shrU(8).extendU()));
  c.switch(
    operation.and(0xff),
    [
      () => c.return(new Flags(c, vcpu).carry()),
      () => c.return(result.ltU(source)),
      () => c.return(result.add(source).shl(unused).ltU(source.shl(unused))),
      () => c.return(I32.of(0)),
      () => c.return(source.wrap().shrU(Aux.CF)),
    ],
    () => c.return(source.wrap().and(1)),
  );
  c.unreachable();
}

/** (vcpu, operation, result zero-extended, source, and the same three of what CF comes from): puts the flags into the state. */
export function writeSyncFlags(c: Code, carryOf: Fn<typeof ValType.i32>): void {
  const vcpu = c.param(ValType.i32, 0);
  const operation = c.param(ValType.i32, 1);
  const result = c.param(ValType.i64, 2);
  const source = c.param(ValType.i64, 3);
  const kind = operation.and(0xff);
  const bits = c.let(operation.shrU(8).extendU());
  const unused = c.let(I64.of(64).sub(bits));
  const keepResult = (): void => c.store64(vcpu, result.shl(unused).shrS(unused), S.flagResult);
  const fromCarries = (carries: I64, carry?: I32): void => {
    // Carries out of the two highest bits and of bit 3, moved to their places as if the operation had 64 bits.
    const aux = c.let(auxOfCarries(64, c.let(carries)));
    // `carries` is shifted up for CF and OF alone: AF stays where it is.
    const shifted = c.let(auxOfCarries(64, c.let(carries.shl(unused))));
    const value = c.let(shifted.and(~(1 << Aux.AF)).or(aux.and(1 << Aux.AF)));
    if (!carry) return c.store32(vcpu, value, S.flagAux);
    // OF as computed, CF as given.
    const overflow = c.let(value.shrU(Aux.CF).xor(value.shrU(Aux.PO)).and(1));
    const cf = c.let(carry);
    c.store32(
      vcpu,
      value
        .and(1 << Aux.AF)
        .or(cf.shl(Aux.CF))
        .or(cf.xor(overflow).shl(Aux.PO)),
      S.flagAux,
    );
  };
  const sum = (b: I64, carry?: I32): void => {
    const a = c.let(result.sub(b));
    keepResult();
    fromCarries(a.and(b).or(a.or(b).and(result.not())), carry);
  };
  const difference = (b: I64, carry?: I32): void => {
    const a = c.let(result.add(b));
    const notA = c.let(a.not());
    keepResult();
    fromCarries(notA.and(b).or(notA.or(b).and(result)), carry);
  };
  c.switch(
    kind,
    [
      () => undefined,
      () => sum(source),
      () => difference(source),
      () => {
        keepResult();
        c.store32(vcpu, I32.of(0), S.flagAux);
      },
      () => {
        keepResult();
        c.store32(vcpu, source.wrap(), S.flagAux);
      },
      () => new Flags(c, vcpu).setStatus(source.wrap()),
    ],
    () => {
      const from = [c.param(ValType.i32, 4), c.param(ValType.i64, 5), c.param(ValType.i64, 6)] as const;
      const carry = c.let(c.call(carryOf, vcpu, ...from));
      c.if(
        kind.eq(FlagKind.increment),
        () => sum(I64.of(1), carry),
        () => difference(I64.of(1), carry),
      );
    },
  );
}
