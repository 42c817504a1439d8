import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { Op, S } from '../state-layout.ts';
import { EXCEPTIONS, INDEFINITE, INTEGER_BIT, MAX_EXPONENT, Result, Status } from './float80.ts';

const { i32, i64 } = ValType;

/** Exceptions that are found before a result exists: unmasked, they leave the destination as it is. */
export const BEFORE_RESULT = Status.IE | Status.DE | Status.ZE;
/** A register that should have held a value does not (SDM Vol. 1, "Stack Overflow or Underflow Exception (#IS)"). */
export const UNDERFLOW = Status.IE | Status.SF;
const OVERFLOW = UNDERFLOW | Status.C1;

/** ST(i): where it is and whether it holds something. */
export class Register {
  readonly at: I32;
  readonly #code: Code;
  readonly #vcpu: I32;
  readonly number: I32;

  constructor(c: Code, vcpu: I32, i: I32 | number) {
    this.#code = c;
    this.#vcpu = vcpu;
    this.number = c.let(vcpu.load32(S.x87Top).add(I32.from(i)).and(7));
    this.at = c.let(vcpu.add(this.number.shl(4)));
  }
  empty(): I32 {
    return this.#vcpu.load32(S.x87Tags).shrU(this.number).and(1).eqz();
  }
  se(): I32 {
    return this.at.load16U(S.x87 + 8);
  }
  sig(): I64 {
    return this.at.load64(S.x87);
  }
  write(se: I32 | number, sig: I64 | bigint): void {
    this.#code.store64(this.at, I64.from(sig), S.x87);
    this.#code.store32(this.at, I32.from(se), S.x87 + 8);
  }
  fill(se: I32 | number, sig: I64 | bigint): void {
    this.write(se, sig);
    this.#code.store32(this.#vcpu, this.#vcpu.load32(S.x87Tags).or(I32.of(1).shl(this.number)), S.x87Tags);
  }
  /** What an arithmetic function left. */
  fillFromResult(): void {
    this.fill(this.#vcpu.load32(Result.se), this.#vcpu.load64(Result.sig));
  }
  fillIndefinite(): void {
    this.fill(INDEFINITE.se, INDEFINITE.sig);
  }
  free(): void {
    this.#code.store32(this.#vcpu, this.#vcpu.load32(S.x87Tags).and(I32.of(1).shl(this.number).not()), S.x87Tags);
  }
}

export const moveTop = (c: Code, vcpu: I32, by: I32 | number): void =>
  c.store32(vcpu, vcpu.load32(S.x87Top).add(I32.from(by)).and(7), S.x87Top);

export function pop(c: Code, vcpu: I32): void {
  new Register(c, vcpu, 0).free();
  moveTop(c, vcpu, 1);
}

/** Replaces condition codes; bits of `mask` only. */
export const setCodes = (
  c: Code,
  vcpu: I32,
  codes: I32 | number,
  mask = Status.C0 | Status.C1 | Status.C2 | Status.C3,
): void => c.store32(vcpu, vcpu.load32(S.x87Status).and(~mask).or(I32.from(codes)), S.x87Status);

export const clearC1 = (c: Code, vcpu: I32): void => {
  const status = c.let(vcpu.load32(S.x87Status));
  c.if(status.and(Status.C1), () => c.store32(vcpu, status.and(~Status.C1), S.x87Status));
};

/** `settle` where mostly there is nothing to settle; `exceptions` is a local. Gives the unmasked ones. */
export function settled(c: Code, settle: Fn<typeof i32>, vcpu: I32, op: I32, exceptions: I32): I32 {
  const unmasked = c.variable(i32, I32.of(0));
  // Most results are inexact, which is masked: that is a flag to set, and C1.
  const masked = vcpu.load32(S.x87Control).and(exceptions).and(Status.PE);
  c.if(
    exceptions.and(~(Status.PE | Status.C1)).or(exceptions.xor(masked).and(Status.PE)),
    () => unmasked.set(c.call(settle, vcpu, op, exceptions)),
    () => c.store32(vcpu, vcpu.load32(S.x87Status).and(~Status.C1).or(exceptions), S.x87Status),
  );
  return unmasked.get;
}

export interface X87Stack {
  /** (vcpu, op, exceptions) → the unmasked ones: notes them, replaces C1, and when one is unmasked makes it pending. */
  readonly settle: Fn<typeof i32>;
  /** (vcpu, op, se, sig, exceptions): onto the stack. */
  readonly push: Fn<undefined>;
  /** (vcpu, op, exceptions): `push` of what a function left; a signalling NaN becomes quiet. */
  readonly pushResult: Fn<undefined>;
  /** (vcpu, op, i): FLD ST(i) */
  readonly pushRegister: Fn<undefined>;
  /** (vcpu, op, i): ST(i) := ST(0); `popped` also pops. */
  readonly copy: Fn<undefined>;
  readonly copyAndPop: Fn<undefined>;
  readonly copyIfFull: Fn<undefined>;
  readonly exchange: Fn<undefined>;
  /** (vcpu, op, i, condition) */
  readonly move: Fn<undefined>;
  /** (vcpu, op, or, xor): FABS and FCHS change the sign only. */
  readonly sign: Fn<undefined>;
  /** (vcpu): FXAM */
  readonly examine: Fn<undefined>;
  /** (vcpu, op, popped) → what keeps a store from happening: the exceptions in `Result.exceptions` are settled. */
  readonly commitStore: Fn<typeof i32>;
}

export function defineX87Stack(m: ModuleBuilder): X87Stack {
  const settle = m.function('x87Settle', [i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const exceptions = c.variable(i32, c.param(i32, 2));
    const unmasked = c.let(exceptions.get.and(vcpu.load32(S.x87Control).not()).and(EXCEPTIONS));
    // Without a result there is none to be rounded.
    c.if(unmasked.and(BEFORE_RESULT), () => {
      c.if(exceptions.get.and(Status.SF).eqz(), () => exceptions.set(exceptions.get.and(BEFORE_RESULT)));
    });
    const noted = EXCEPTIONS | Status.SF | Status.C1;
    const status = c.let(vcpu.load32(S.x87Status).and(~Status.C1).or(exceptions.get.and(noted)));
    c.store32(vcpu, status, S.x87Status);
    c.if(unmasked, () => {
      c.store32(vcpu, status.or(Status.ES | Status.B), S.x87Status);
      // The pointers are kept for unmasked exceptions only, as AMD documents for FXSAVE (AMD64 APM Vol. 2, "x87 Instruction Pointer").
      const slot = (field: number): I64 => vcpu.add(op.load16U(field)).load64();
      const operand = slot(Op.base)
        .add(slot(Op.index).shl(op.load64From8U(Op.scale)))
        .add(op.load64From32S(Op.disp));
      c.store64(vcpu, vcpu.load64(S.pageVa).add(op.load64From16U(Op.off)), S.x87Ip);
      c.store64(vcpu, operand, S.x87Dp);
    });
    c.return(unmasked);
    c.unreachable();
  });

  const push = m.function('x87Push', [i32, i32, i32, i64, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const exceptions = c.param(i32, 4);
    const to = new Register(c, vcpu, 7);
    c.if(to.empty().eqz().and(exceptions.and(Status.SF).eqz()), () => {
      c.if(c.call(settle, vcpu, op, I32.of(OVERFLOW)), () => c.return());
      moveTop(c, vcpu, -1);
      to.fillIndefinite();
      c.return();
    });
    // An unmasked denormal operand is loaded all the same (AMD processors; Intel's do not load it).
    c.if(settled(c, settle, vcpu, op, exceptions).and(Status.IE), () => c.return());
    moveTop(c, vcpu, -1);
    to.fill(c.param(i32, 2), c.param(i64, 3));
  });

  const pushResult = m.function('x87PushResult', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const se = c.let(vcpu.load32(Result.se));
    const sig = c.let(vcpu.load64(Result.sig));
    const nan = se.and(MAX_EXPONENT).eq(MAX_EXPONENT).and(sig.ne(INTEGER_BIT));
    c.if(nan.and(sig.shrU(62).wrap().and(1).eqz()), () => {
      c.returnCall(push, vcpu, c.param(i32, 1), se, sig.or(INDEFINITE.sig), I32.of(Status.IE));
    });
    c.returnCall(push, vcpu, c.param(i32, 1), se, sig, c.param(i32, 2));
  });

  const pushRegister = m.function('x87PushRegister', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const from = new Register(c, vcpu, c.param(i32, 2));
    c.if(from.empty(), () => {
      c.returnCall(push, vcpu, c.param(i32, 1), I32.of(INDEFINITE.se), I64.of(INDEFINITE.sig), I32.of(UNDERFLOW));
    });
    c.returnCall(push, vcpu, c.param(i32, 1), from.se(), from.sig(), I32.of(0));
  });

  /** `lenient`: an empty ST(0) is no fault, and nothing is copied; so does an undocumented form of FSTP. */
  const copy = (name: string, popped: boolean, lenient = false): Fn<undefined> =>
    m.function(name, [i32, i32, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const op = c.param(i32, 1);
      const from = new Register(c, vcpu, 0);
      const to = new Register(c, vcpu, c.param(i32, 2));
      c.if(
        from.empty(),
        () => {
          c.if(c.call(settle, vcpu, op, I32.of(lenient ? 0 : UNDERFLOW)), () => c.return());
          if (!lenient) to.fillIndefinite();
        },
        () => {
          clearC1(c, vcpu);
          to.fill(from.se(), from.sig());
        },
      );
      if (popped) pop(c, vcpu);
    });

  const exchange = m.function('x87Exchange', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const a = new Register(c, vcpu, 0);
    const b = new Register(c, vcpu, c.param(i32, 2));
    const emptyA = c.let(a.empty());
    const emptyB = c.let(b.empty());
    const found = emptyA.or(emptyB).select(I32.of(UNDERFLOW), I32.of(0));
    c.if(c.call(settle, vcpu, c.param(i32, 1), found), () => c.return());
    c.if(emptyA, () => a.fillIndefinite());
    c.if(emptyB, () => b.fillIndefinite());
    const se = c.let(a.se());
    const sig = c.let(a.sig());
    a.write(b.se(), b.sig());
    b.write(se, sig);
  });

  const move = m.function('x87Move', [i32, i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const to = new Register(c, vcpu, 0);
    const from = new Register(c, vcpu, c.param(i32, 2));
    c.if(to.empty().or(from.empty()), () => {
      c.if(c.call(settle, vcpu, op, I32.of(UNDERFLOW)), () => c.return());
      to.fillIndefinite();
      c.return();
    });
    c.if(c.param(i32, 3), () => to.write(from.se(), from.sig()));
  });

  const sign = m.function('x87Sign', [i32, i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const top = new Register(c, vcpu, 0);
    c.if(top.empty(), () => {
      c.if(c.call(settle, vcpu, op, I32.of(UNDERFLOW)), () => c.return());
      top.fillIndefinite();
      c.return();
    });
    clearC1(c, vcpu);
    top.write(top.se().and(c.param(i32, 2)).xor(c.param(i32, 3)), top.sig());
  });

  const examine = m.function('x87Examine', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const top = new Register(c, vcpu, 0);
    const se = c.let(top.se());
    const sig = c.let(top.sig());
    const exp = c.let(se.and(MAX_EXPONENT));
    const codes = c.variable(i32, se.shrU(15).shl(9));
    const also = (code: number): void => codes.set(codes.get.or(code));
    c.if(
      top.empty(),
      () => also(Status.C3 | Status.C0),
      () => {
        c.if(
          exp.eqz(),
          () => {
            c.if(
              sig.eqz(),
              () => also(Status.C3),
              () => also(Status.C3 | Status.C2),
            );
          },
          () =>
            c.if(sig.ltS(0), () => {
              c.if(
                exp.ne(MAX_EXPONENT),
                () => also(Status.C2),
                () => {
                  c.if(
                    sig.eq(INTEGER_BIT),
                    () => also(Status.C2 | Status.C0),
                    () => also(Status.C0),
                  );
                },
              );
            }),
        );
      },
    );
    setCodes(c, vcpu, codes.get);
  });

  const commitStore = m.function('x87CommitStore', [i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const exceptions = c.let(vcpu.load32(Result.exceptions));
    const unmasked = settled(c, settle, vcpu, c.param(i32, 1), exceptions);
    const blocked = c.let(unmasked.and(~Status.PE));
    c.if(blocked.eqz().and(c.param(i32, 2)), () => pop(c, vcpu));
    c.return(blocked);
    c.unreachable();
  });

  return {
    settle,
    push,
    pushResult,
    pushRegister,
    exchange,
    move,
    sign,
    examine,
    commitStore,
    copy: copy('x87Copy', false),
    copyAndPop: copy('x87CopyAndPop', true),
    copyIfFull: copy('x87CopyIfFull', true, true),
  };
}
