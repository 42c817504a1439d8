import type { Helper } from '../instruction-set.ts';
import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { typed } from './sse-operands.ts';
import {
  beginSoft,
  defineRoundPack,
  Format,
  Mx,
  note,
  noteDenormals,
  Rounding,
  roundingOf,
  shiftSticky,
  SoftNumber,
} from './sse-soft.ts';

const { i32, i64 } = ValType;

/** Bits of a quotient or root that are computed: more than 53 and two for rounding; what is left makes the sticky bit. */
const DIGITS = 57;

interface Binary {
  readonly c: Code;
  readonly vcpu: I32;
  readonly f: Format;
  readonly a: SoftNumber;
  readonly b: SoftNumber;
  readonly infinity: I64;
  invalid(): void;
  pack(negative: I32, exponent: I32, significand: I64): void;
}

/** (vcpu, m, a, b) → bits. */
function defineBinary(
  m: ModuleBuilder,
  name: string,
  roundPack: Fn<typeof i64>,
  write: (b: Binary) => void,
): Fn<typeof i64> {
  return m.function(name, [i32, i32, i64, i64], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const f = new Format(c, c.param(i32, 1));
    const a = new SoftNumber(c, f, c.param(i64, 2));
    const b = new SoftNumber(c, f, c.param(i64, 3));
    const { infinity } = beginSoft(c, vcpu, f, [a, b]);
    write({
      c,
      vcpu,
      f,
      a,
      b,
      infinity,
      invalid: () => {
        note(c, vcpu, Mx.IE);
        c.return(f.indefinite);
      },
      pack: (negative, exponent, significand) => c.returnCall(roundPack, vcpu, f.m, negative, exponent, significand),
    });
    c.unreachable();
  });
}

const sum = ({ c, vcpu, f, a, b, infinity, invalid, pack }: Binary): void => {
  noteDenormals(c, vcpu, [a, b]);
  const different = c.let(a.signed.ne(b.signed));
  c.if(a.isInfinite(infinity), () => {
    c.if(b.isInfinite(infinity).and(different), invalid);
    c.return(a.bits.get);
  });
  c.if(b.isInfinite(infinity), () => c.return(b.bits.get));
  const zeroSign = (): void => c.return(roundingOf(vcpu).eq(Rounding.down).select(f.sign, I64.of(0)));
  c.if(b.isZero(), () => {
    c.if(a.isZero(), () => {
      c.if(different, zeroSign);
      c.return(a.bits.get);
    });
    const x = a.unpack();
    pack(a.signed, x.exponent, x.significand);
  });
  c.if(a.isZero(), () => {
    const y = b.unpack();
    pack(b.signed, y.exponent, y.significand);
  });
  // The larger one first; the magnitudes order as their bits do.
  const swap = c.let(a.magnitude.ltU(b.magnitude));
  c.if(swap, () => {
    const t = c.let(a.bits.get);
    a.bits.set(b.bits.get);
    b.bits.set(t);
  });
  const x = a.unpack();
  const y = b.unpack();
  // One bit of room above; at least ten free bits below the fraction.
  const large = c.let(x.significand.shrU(1));
  const small = shiftSticky(c, y.significand.shrU(1), x.exponent.sub(y.exponent).extendU());
  const total = c.let(different.select(large.sub(small), large.add(small)));
  c.if(total.eqz(), zeroSign);
  const zeros = c.let(total.clz());
  pack(a.signed, x.exponent.add(1).sub(zeros.wrap()), total.shl(zeros));
};

const product = ({ c, vcpu, a, b, infinity, invalid, pack }: Binary): void => {
  const sign = c.let(a.signBit.xor(b.signBit));
  const anyInfinite = c.let(a.isInfinite(infinity).or(b.isInfinite(infinity)));
  const anyZero = c.let(a.isZero().or(b.isZero()));
  c.if(anyInfinite.and(anyZero), invalid);
  noteDenormals(c, vcpu, [a, b]);
  c.if(anyInfinite, () => c.return(sign.or(infinity)));
  c.if(anyZero, () => c.return(sign));
  const x = a.unpack();
  const y = b.unpack();
  // 64 × 64 → 128 bits by halves.
  const low = (v: I64): I64 => v.and(0xffff_ffffn);
  const [xh, xl, yh, yl] = [
    c.let(x.significand.shrU(32)),
    c.let(low(x.significand)),
    c.let(y.significand.shrU(32)),
    c.let(low(y.significand)),
  ];
  const first = c.let(xh.mul(yl).add(xl.mul(yl).shrU(32)));
  const second = c.let(xl.mul(yh).add(low(first)));
  const high = c.let(xh.mul(yh).add(first.shrU(32)).add(second.shrU(32)));
  const rest = c.let(x.significand.mul(y.significand).ne(0).extendU());
  const zeros = c.let(high.clz());
  pack(sign.ne(0), x.exponent.add(y.exponent).add(1).sub(zeros.wrap()), high.shl(zeros).or(rest));
};

const quotient = ({ c, vcpu, a, b, infinity, invalid, pack }: Binary): void => {
  const sign = c.let(a.signBit.xor(b.signBit));
  const [aInfinite, bInfinite, aZero, bZero] = [
    c.let(a.isInfinite(infinity)),
    c.let(b.isInfinite(infinity)),
    c.let(a.isZero()),
    c.let(b.isZero()),
  ];
  c.if(aInfinite.and(bInfinite).or(aZero.and(bZero)), invalid);
  c.if(bZero.and(aInfinite.eqz()), () => {
    note(c, vcpu, Mx.ZE);
    c.return(sign.or(infinity));
  });
  noteDenormals(c, vcpu, [a, b]);
  c.if(aInfinite, () => c.return(sign.or(infinity)));
  c.if(bInfinite.or(aZero), () => c.return(sign));
  const x = a.unpack();
  const y = b.unpack();
  const remainder = c.variable(i64, x.significand.shrU(11));
  const divisor = c.let(y.significand.shrU(11));
  const digits = c.variable(i64, I64.of(0));
  const n = c.variable(i32, I32.of(DIGITS));
  c.loop((_again, againIf) => {
    digits.set(digits.get.shl(1));
    c.if(remainder.get.geU(divisor), () => {
      remainder.set(remainder.get.sub(divisor));
      digits.set(digits.get.or(1));
    });
    remainder.set(remainder.get.shl(1));
    n.set(n.get.sub(1));
    againIf(n.get);
  });
  // The first digit is 0 when the dividend's significand is the smaller one.
  const zeros = c.let(digits.get.clz());
  pack(
    sign.ne(0),
    x.exponent.sub(y.exponent).sub(zeros.wrap().sub(64 - DIGITS)),
    digits.get.shl(zeros).or(remainder.get.ne(0).extendU()),
  );
};

/** (vcpu, m, a, b) → bits of a + -b. NaNs keep their signs. */
const difference: Helper = {
  name: 'sseSoftSub',
  define: (m, { helper }) =>
    m.function('sseSoftSub', [i32, i32, i64, i64], i64, (c) => {
      const f = new Format(c, c.param(i32, 1));
      const b = new SoftNumber(c, f, c.param(i64, 3));
      c.if(b.isNan(f.infinity).eqz(), () => b.bits.set(b.bits.get.xor(f.sign)));
      c.returnCall(helper('sseSoftAdd'), c.param(i32, 0), f.m, c.param(i64, 2), b.bits.get);
      c.unreachable();
    }),
};

/** (vcpu, m, a) → bits of the square root. */
function defineRoot(m: ModuleBuilder, roundPack: Fn<typeof i64>): Fn<typeof i64> {
  return m.function('sseSoftSqrt', [i32, i32, i64], i64, (c) => {
    const vcpu = c.param(i32, 0);
    const f = new Format(c, c.param(i32, 1));
    const a = new SoftNumber(c, f, c.param(i64, 2));
    const { infinity } = beginSoft(c, vcpu, f, [a]);
    c.if(a.isZero(), () => c.return(a.bits.get));
    c.if(a.signed, () => {
      note(c, vcpu, Mx.IE);
      c.return(f.indefinite);
    });
    c.if(a.isInfinite(infinity), () => c.return(a.bits.get));
    noteDenormals(c, vcpu, [a]);
    const x = a.unpack();
    // Pairs of bits from the top, the first pair before the point: the exponent becomes even.
    const radicand = c.variable(i64, x.exponent.and(1).select(x.significand, x.significand.shrU(1)));
    const remainder = c.variable(i64, I64.of(0));
    const root = c.variable(i64, I64.of(0));
    const n = c.variable(i32, I32.of(DIGITS));
    c.loop((_again, againIf) => {
      remainder.set(remainder.get.shl(2).or(radicand.get.shrU(62)));
      radicand.set(radicand.get.shl(2));
      const test = c.let(root.get.shl(2).or(1));
      root.set(root.get.shl(1));
      c.if(remainder.get.geU(test), () => {
        remainder.set(remainder.get.sub(test));
        root.set(root.get.or(1));
      });
      n.set(n.get.sub(1));
      againIf(n.get);
    });
    c.returnCall(
      roundPack,
      vcpu,
      f.m,
      I32.of(0),
      x.exponent.shrS(1),
      root.get.shl(64 - DIGITS).or(remainder.get.ne(0).extendU()),
    );
    c.unreachable();
  });
}

const withRoundPack = (name: string, define: (m: ModuleBuilder, roundPack: Fn<typeof i64>) => Fn): Helper => ({
  name,
  define: (m, { helper }) => define(m, typed(helper('sseRoundPack'), i64)),
});

const binaryHelper = (name: string, write: (b: Binary) => void): Helper =>
  withRoundPack(name, (m, roundPack) => defineBinary(m, name, roundPack, write));

export const softArithmetic: readonly Helper[] = [
  { name: 'sseRoundPack', define: defineRoundPack },
  binaryHelper('sseSoftAdd', sum),
  difference,
  binaryHelper('sseSoftMul', product),
  binaryHelper('sseSoftDiv', quotient),
  withRoundPack('sseSoftSqrt', defineRoot),
];
