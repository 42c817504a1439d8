import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, type I64, ValType } from '../wasm/value.ts';
import { INDEFINITE, INTEGER_BIT, isUnsupported, MAX_EXPONENT, setResult, Status } from './float80.ts';

const { i32, i64 } = ValType;

export interface Float80Core {
  /** (a, b) → upper half of the product. */
  readonly multiplyHigh: Fn<typeof i64>;
  /** (high, low, divisor) → quotient; high < divisor, and the divisor's top bit is set. */
  readonly divide: Fn<typeof i64>;
  /** (vcpu) → IE, with the real indefinite as result. */
  readonly invalid: Fn<typeof i32>;
  /** (vcpu, seA, sigA, seB, sigB) → exceptions: the NaN that an operation on these gives; one of them is a NaN or unsupported. */
  readonly nan: Fn<typeof i32>;
}

export function defineFloat80Core(m: ModuleBuilder): Float80Core {
  const multiplyHigh = m.function('f80MultiplyHigh', [i64, i64], i64, (c) => {
    const a = c.param(i64, 0);
    const b = c.param(i64, 1);
    const low32 = (x: I64): I64 => x.and(0xffff_ffffn);
    const [aLow, aHigh, bLow, bHigh] = [c.let(low32(a)), c.let(a.shrU(32)), c.let(low32(b)), c.let(b.shrU(32))];
    const first = c.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)));
    const second = c.let(aLow.mul(bHigh).add(low32(first)));
    c.return(aHigh.mul(bHigh).add(first.shrU(32)).add(second.shrU(32)));
    c.unreachable();
  });

  const divide = m.function('f80Divide', [i64, i64, i64], i64, (c) => {
    // Two digits of 32 bits, each estimated by the divisor's upper half and then corrected (Knuth, The Art of Computer Programming Vol. 2, 4.3.1, D).
    const low = c.param(i64, 1);
    const divisor = c.param(i64, 2);
    const upper = c.let(divisor.shrU(32));
    const lower = c.let(divisor.and(0xffff_ffffn));
    const digit = (dividend: I64, nextDigit: I64): I64 => {
      const q = c.variable(i64, dividend.divU(upper));
      const r = c.variable(i64, dividend.sub(q.get.mul(upper)));
      const next = c.let(nextDigit);
      c.block((done, doneIf) => {
        void done;
        c.loop((again) => {
          doneIf(
            q.get
              .shrU(32)
              .eqz()
              .and(q.get.mul(lower).leU(r.get.shl(32).or(next))),
          );
          q.set(q.get.sub(1));
          r.set(r.get.add(upper));
          doneIf(r.get.shrU(32).ne(0));
          again();
        });
      });
      return q.get;
    };
    const high = c.param(i64, 0);
    const first = digit(high, low.shrU(32));
    const rest = c.let(high.shl(32).or(low.shrU(32)).sub(first.mul(divisor)));
    const second = digit(rest, low.and(0xffff_ffffn));
    c.return(first.shl(32).add(second));
    c.unreachable();
  });

  const invalid = m.function('f80Invalid', [i32], i32, (c) => {
    setResult(c, c.param(i32, 0), INDEFINITE.se, INDEFINITE.sig);
    c.return(I32.of(Status.IE));
    c.unreachable();
  });

  const nan = m.function('f80Nan', [i32, i32, i64, i32, i64], i32, (c) => {
    // SDM Vol. 1, "NaNs", table "Rules for Handling NaNs": a quiet NaN before a signalling one, then the larger significand, then the positive one.
    const vcpu = c.param(i32, 0);
    const operands = [0, 1].map((n) => {
      const se = c.param(i32, 1 + 2 * n);
      const sig = c.param(i64, 2 + 2 * n);
      const exponent = se.and(MAX_EXPONENT);
      c.if(isUnsupported(exponent, sig), () => c.returnCall(invalid, vcpu));
      const isNan = c.let(exponent.eq(MAX_EXPONENT).and(sig.ne(INTEGER_BIT)));
      const signalling = c.let(isNan.and(sig.shrU(62).wrap().and(1).eqz()));
      return { se, sig: c.let(sig.or(INDEFINITE.sig)), isNan, signalling };
    });
    const [a, b] = operands;
    if (!a || !b) throw new Error('two operands');
    const larger = a.sig.eq(b.sig).select(a.se.ltU(b.se), a.sig.gtU(b.sig));
    const quiet = (x: typeof a): I32 => x.isNan.and(x.signalling.eqz());
    // a counts when b is no NaN, or when it is the quiet one of the two, or by size when both are alike.
    const alike = a.signalling.eq(b.signalling);
    const first = c.let(a.isNan.and(b.isNan.eqz().or(alike.select(larger, quiet(a)))));
    setResult(c, vcpu, first.select(a.se, b.se), first.select(a.sig, b.sig));
    c.return(a.signalling.or(b.signalling));
    c.unreachable();
  });

  return { multiplyHigh, divide, invalid, nan };
}
