import type { Helper } from '../instruction-set.ts';
import type { Code } from '../wasm/code.ts';
import { reduce, simd, splat } from '../wasm/simd.ts';
import { F64, I32, I64, ValType } from '../wasm/value.ts';
import { bothFormats, type FastFormat, formats, precisionSettled, roundsToNearest } from './sse-format.ts';
import { typed } from './sse-operands.ts';
import { Format, Mx, note, noteDenormals, Rounding, roundingOf, SoftNumber } from './sse-soft.ts';

const { i32, i64, v128 } = ValType;
const { f32, f64 } = formats;

/** A double rounded to an integral value. */
export function roundIntegral(c: Code, x: F64, mode: I32): F64 {
  const r = c.variable(ValType.f64, x.nearest());
  c.if(mode.eq(Rounding.down), () => r.set(x.floor()));
  c.if(mode.eq(Rounding.up), () => r.set(x.ceil()));
  c.if(mode.eq(Rounding.zero), () => r.set(x.trunc()));
  return r.get;
}

/** The number as a double, denormals-are-zero applied. A NaN gives some NaN. */
export function toDouble(c: Code, vcpu: I32, f: FastFormat, bits: I64): F64 {
  const n = new SoftNumber(c, new Format(c, I32.of(f.m)), bits);
  c.if(f.isPlain(bits).eqz(), () => n.flushIfDenormal(vcpu));
  return c.let(f.bits === 32 ? n.bits.get.wrap().asF32().promote() : n.bits.get.asF64());
}

/** (vcpu, bits, width, rounding) → integer, or the integer indefinite: the most negative one (SDM Vol. 1, "Indefinite"). */
const toInteger = (f: FastFormat): Helper => ({
  name: `${f.name}.toInteger`,
  define: (m) =>
    m.function(`${f.name}.toInteger`, [i32, i64, i32, i32], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const x = toDouble(c, vcpu, f, c.param(i64, 1));
      const r = c.let(roundIntegral(c, x, c.param(i32, 3)));
      const limit = c.let(
        c
          .param(i32, 2)
          .eq(64)
          .select(F64.of(2 ** 63), F64.of(2 ** 31)),
      );
      c.if(r.ge(limit.neg()).and(r.lt(limit)), () => {
        c.if(r.ne(x), () => note(c, vcpu, Mx.PE));
        c.return(r.toI64S());
      });
      note(c, vcpu, Mx.IE);
      c.return(I64.of(-1).shl(c.param(i32, 2).sub(1).extendU()));
      c.unreachable();
    }),
});

/** (vcpu, integer) → bits. */
const fromInteger = (f: FastFormat): Helper => ({
  name: `${f.name}.fromInteger`,
  define: (m, { helper }) =>
    m.function(`${f.name}.fromInteger`, [i32, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const x = c.param(i64, 1);
      const converted = f.bits === 32 ? x.toF32S().asI32().extendU() : x.toF64S().asI64();
      const negative = c.let(x.ltS(0));
      const magnitude = c.let(negative.select(x.neg(), x));
      const exact = magnitude
        .clz()
        .add(magnitude.ctz())
        .geU(64 - f.m - 1);
      c.if(exact.or(magnitude.eqz()), () => c.return(converted));
      c.if(roundsToNearest(vcpu), () => {
        note(c, vcpu, Mx.PE);
        c.return(converted);
      });
      const zeros = c.let(magnitude.clz());
      c.returnCall(
        helper('sseRoundPack'),
        vcpu,
        I32.of(f.m),
        negative,
        I32.of(63).sub(zeros.wrap()),
        magnitude.shl(zeros),
      );
      c.unreachable();
    }),
});

/** (vcpu, single) → double. */
const widen: Helper = {
  name: 'f64.fromSingle',
  define: (m) =>
    m.function('f64.fromSingle', [i32, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const bits = c.param(i64, 1);
      const promoted = (x: I64): I64 => x.wrap().asF32().promote().asI64();
      c.if(f32.isPlain(bits).and(f32.isNan(bits).eqz()), () => c.return(promoted(bits)));
      const f = new Format(c, I32.of(f32.m));
      const a = new SoftNumber(c, f, bits);
      c.if(f32.isNan(bits), () => {
        c.if(a.isSignaling(f.infinity, f.quietBit), () => note(c, vcpu, Mx.IE));
        c.return(
          a.signBit
            .shl(32)
            .or(0x7ff8n << 48n)
            .or(a.magnitude.shl(29)),
        );
      });
      a.flushIfDenormal(vcpu);
      noteDenormals(c, vcpu, [a]);
      c.return(promoted(a.bits.get));
      c.unreachable();
    }),
};

/** (vcpu, double) → single. */
const narrow: Helper = {
  name: 'f32.fromDouble',
  define: (m, { helper }) =>
    m.function('f32.fromDouble', [i32, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const bits = c.param(i64, 1);
      const demoted = c.let(bits.asF64().demote());
      const r = c.let(demoted.asI32().extendU());
      c.if(roundsToNearest(vcpu).and(f64.isPlain(bits)).and(f32.isOrdinary(r)), () => {
        c.if(precisionSettled(c, vcpu).eqz().and(demoted.promote().ne(bits.asF64())), () => note(c, vcpu, Mx.PE));
        c.return(r);
      });
      const f = new Format(c, I32.of(f64.m));
      const a = new SoftNumber(c, f, bits);
      const sign = (): I64 => a.signBit.shrU(32);
      c.if(f64.isNan(bits), () => {
        c.if(a.isSignaling(f.infinity, f.quietBit), () => note(c, vcpu, Mx.IE));
        c.return(sign().or(0x7fc0_0000).or(a.magnitude.shrU(29).and(0x3f_ffff)));
      });
      c.if(a.isInfinite(f.infinity), () => c.return(sign().or(0x7f80_0000)));
      a.flushIfDenormal(vcpu);
      noteDenormals(c, vcpu, [a]);
      c.if(a.isZero(), () => c.return(sign()));
      const x = a.unpack();
      c.returnCall(helper('sseRoundPack'), vcpu, I32.of(f32.m), a.signed, x.exponent, x.significand);
      c.unreachable();
    }),
};

/** (vcpu, four singles, rounding) → four integers. */
const fourToInteger: Helper = {
  name: 'f32x4.toInteger',
  define: (m, { helper }) =>
    m.function('f32x4.toInteger', [i32, v128, i32], v128, (c) => {
      const [vcpu, a, mode] = [c.param(i32, 0), c.param(v128, 1), c.param(i32, 2)];
      const inRange = reduce('i32x4.all_true', simd('f32x4.lt', simd('f32x4.abs', a), splat(32, 0x4f00_0000)));
      const fast = inRange.and(precisionSettled(c, vcpu));
      c.if(fast.and(mode.eq(Rounding.zero)), () => c.return(simd('i32x4.trunc_sat_f32x4_s', a)));
      // Singles below 2^31 have no fraction from 2^23 on, so rounding does not leave the range.
      c.if(fast.and(mode.eqz()), () => c.return(simd('i32x4.trunc_sat_f32x4_s', simd('f32x4.nearest', a))));
      const one = typed(helper('f32.toInteger'), i64);
      c.return(f32.collect([0, 1, 2, 3].map((n) => c.call(one, vcpu, f32.lane(a, n), I32.of(32), mode))));
      c.unreachable();
    }),
};

/** (vcpu, four integers) → four singles. */
const fourFromInteger: Helper = {
  name: 'f32x4.fromInteger',
  define: (m, { helper }) =>
    m.function('f32x4.fromInteger', [i32, v128], v128, (c) => {
      const [vcpu, a] = [c.param(i32, 0), c.param(v128, 1)];
      c.if(roundsToNearest(vcpu).and(precisionSettled(c, vcpu)), () => c.return(simd('f32x4.convert_i32x4_s', a)));
      const one = typed(helper('f32.fromInteger'), i64);
      c.return(f32.collect([0, 1, 2, 3].map((n) => c.call(one, vcpu, f32.lane(a, n).extend32S()))));
      c.unreachable();
    }),
};

/**
 * (vcpu, bits, control) → bits of the integral value. Control as in the immediate of ROUNDSD: bits 1:0 rounding, bit 2 take MXCSR's, bit 3 no precision
 * exception.
 */
const integral = (f: FastFormat): Helper => ({
  name: `${f.name}.integral`,
  define: (m) =>
    m.function(`${f.name}.integral`, [i32, i64, i32], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const control = c.param(i32, 2);
      const bits = c.param(i64, 1);
      const format = new Format(c, I32.of(f.m));
      const a = new SoftNumber(c, format, bits);
      c.if(f.isNan(bits), () => {
        c.if(a.isSignaling(format.infinity, format.quietBit), () => note(c, vcpu, Mx.IE));
        c.return(a.bits.get.or(format.quietBit));
      });
      const x = toDouble(c, vcpu, f, bits);
      const mode = c.let(control.and(4).select(roundingOf(vcpu), control.and(3)));
      const r = c.let(roundIntegral(c, x, mode));
      c.if(control.and(8).eqz().and(r.ne(x)), () => note(c, vcpu, Mx.PE));
      c.return(f.bits === 32 ? r.demote().asI32().extendU() : r.asI64());
      c.unreachable();
    }),
});

export const convertHelpers: readonly Helper[] = [
  ...bothFormats.flatMap((f) => [toInteger(f), fromInteger(f), integral(f)]),
  widen,
  narrow,
  fourToInteger,
  fourFromInteger,
];
