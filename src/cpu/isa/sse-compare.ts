import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { simd } from '../wasm/simd.ts';
import { F32, F64, I32, I64, ValType } from '../wasm/value.ts';
import { packed, scalar, settle } from './sse-exceptions.ts';
import { bothFormats, type FastFormat, floatOf, none, SHAPES } from './sse-format.ts';
import {
  guarded,
  incomparable,
  inlineExtreme,
  inlinePackedExtreme,
  inlinePredicate,
  inlineScalarPredicate,
  readScalar,
  type Scalar,
} from './sse-inline.ts';
import { begin, callHelper, imm8, readLow, readVector, typed, writeLow } from './sse-operands.ts';
import { Format, Mx, note, noteDenormals, SoftNumber } from './sse-soft.ts';

const { i32, i64, v128 } = ValType;

/** How two numbers compare; the values are ZF, PF and CF as COMISD sets them (SDM Vol. 2A, "COMISD"). */
const Relation = { greater: 0, less: 1, equal: 0x40, unordered: 0x45 } as const;

/** (vcpu, m, a, b, quiet) → Relation, with exceptions: IE for signaling NaNs, or for all unless quiet. */
const softCompare: Helper = {
  name: 'sseSoftCompare',
  define: (m) =>
    m.function('sseSoftCompare', [i32, i32, i64, i64, i32], i32, (c) => {
      const vcpu = c.param(i32, 0);
      const f = new Format(c, c.param(i32, 1));
      const a = new SoftNumber(c, f, c.param(i64, 2));
      const b = new SoftNumber(c, f, c.param(i64, 3));
      const quiet = c.param(i32, 4);
      const { infinity, quietBit } = f;
      for (const n of [a, b]) n.flushIfDenormal(vcpu);
      c.if(a.isNan(infinity).or(b.isNan(infinity)), () => {
        const signaling = a.isSignaling(infinity, quietBit).or(b.isSignaling(infinity, quietBit));
        c.if(signaling.or(quiet.eqz()), () => note(c, vcpu, Mx.IE));
        c.return(I32.of(Relation.unordered));
      });
      noteDenormals(c, vcpu, [a, b]);
      // Signed numbers that order as the values do; both zeros are 0.
      const key = (n: SoftNumber): I64 => c.let(n.signed.select(I64.of(0).sub(n.magnitude), n.magnitude));
      const [x, y] = [key(a), key(b)];
      c.if(x.eq(y), () => c.return(I32.of(Relation.equal)));
      c.return(x.ltS(y).select(I32.of(Relation.less), I32.of(Relation.greater)));
      c.unreachable();
    }),
};

const lessThan = (a: F32 | F64, b: F32 | F64): I32 => {
  if (a instanceof F64 && b instanceof F64) return a.lt(b);
  if (a instanceof F32 && b instanceof F32) return a.lt(b);
  throw new Error('mixed formats');
};
const equals = (a: F32 | F64, b: F32 | F64): I32 => {
  if (a instanceof F64 && b instanceof F64) return a.eq(b);
  if (a instanceof F32 && b instanceof F32) return a.eq(b);
  throw new Error('mixed formats');
};

/** (vcpu, a, b, quiet) → Relation. */
const compareHelper = (f: FastFormat): Helper => ({
  name: `${f.name}.compare`,
  define: (m, { helper }) =>
    m.function(`${f.name}.compare`, [i32, i64, i64, i32], i32, (c) => {
      const [vcpu, a, b] = [c.param(i32, 0), c.param(i64, 1), c.param(i64, 2)];
      const numbers = f.isNan(a).or(f.isNan(b)).eqz();
      c.if(f.isPlain(a).and(f.isPlain(b)).and(numbers), () => {
        c.if(lessThan(floatOf(f, a), floatOf(f, b)), () => c.return(I32.of(Relation.less)));
        c.return(equals(floatOf(f, a), floatOf(f, b)).select(I32.of(Relation.equal), I32.of(Relation.greater)));
      });
      c.returnCall(helper('sseSoftCompare'), vcpu, I32.of(f.m), a, b, c.param(i32, 3));
      c.unreachable();
    }),
});

/** (vcpu, a, b) → bits: the second operand for NaNs and for two zeros (SDM Vol. 2B, "MINSD"). */
const extremeHelper = (f: FastFormat, name: 'min' | 'max'): Helper => ({
  name: `${f.name}.${name}`,
  define: (m, { helper }) =>
    m.function(`${f.name}.${name}`, [i32, i64, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const format = new Format(c, I32.of(f.m));
      const relation = c.let(
        c.call(typed(helper(`${f.name}.compare`), i32), vcpu, c.param(i64, 1), c.param(i64, 2), I32.of(0)),
      );
      const chosen = new SoftNumber(c, format, c.param(i64, 2));
      c.if(relation.eq(name === 'min' ? Relation.less : Relation.greater), () => chosen.bits.set(c.param(i64, 1)));
      chosen.flushIfDenormal(vcpu);
      c.return(chosen.bits.get);
      c.unreachable();
    }),
});

/** (vcpu, a, b) → vector. */
const packedExtremeHelper = (f: FastFormat, name: 'min' | 'max'): Helper => ({
  name: `${f.vector}.${name}`,
  define: (m, { helper }) =>
    m.function(`${f.vector}.${name}`, [i32, v128, v128], v128, (c) => {
      const [vcpu, a, b] = [c.param(i32, 0), c.param(v128, 1), c.param(v128, 2)];
      // pmin(b, a) is a < b ? a : b.
      c.if(none(simd('v128.or', f.incomparable(a), f.incomparable(b))), () =>
        c.return(simd(`${f.vector}.p${name}`, b, a)),
      );
      const one = typed(helper(`${f.name}.${name}`), i64);
      c.return(f.collect(Array.from({ length: f.lanes }, (_, n) => c.call(one, vcpu, f.lane(a, n), f.lane(b, n)))));
      c.unreachable();
    }),
});

/** (vcpu, a, b, predicate) → all ones or zero. Predicates: EQ LT LE UNORD and their opposites; only EQ, UNORD, NEQ and ORD are quiet. */
const predicateHelper = (f: FastFormat): Helper => ({
  name: `${f.name}.predicate`,
  define: (m, { helper }) =>
    m.function(`${f.name}.predicate`, [i32, i64, i64, i32], i64, (c) => {
      const kind = c.let(c.param(i32, 3).and(3));
      const quiet = kind.eqz().or(kind.eq(3));
      const relation = c.let(
        c.call(typed(helper(`${f.name}.compare`), i32), c.param(i32, 0), c.param(i64, 1), c.param(i64, 2), quiet),
      );
      const equal = relation.eq(Relation.equal);
      const less = relation.eq(Relation.less);
      const unordered = relation.eq(Relation.unordered);
      const holds = kind.eqz().select(equal, kind.eq(3).select(unordered, less.or(kind.eq(2).and(equal))));
      const negate = c.param(i32, 3).shrU(2).and(1);
      c.return(I64.of(0).sub(holds.xor(negate).extendU()));
      c.unreachable();
    }),
});

/** (vcpu, a, b, predicate) → vector of masks. */
const packedPredicateHelper = (f: FastFormat): Helper => ({
  name: `${f.vector}.predicate`,
  define: (m, { helper }) =>
    m.function(`${f.vector}.predicate`, [i32, v128, v128, i32], v128, (c) => {
      const [vcpu, a, b, predicate] = [c.param(i32, 0), c.param(v128, 1), c.param(v128, 2), c.param(i32, 3)];
      c.if(none(simd('v128.or', f.incomparable(a), f.incomparable(b))), () => {
        const kind = c.let(predicate.and(3));
        const less = kind.eq(2).select(simd(`${f.vector}.le`, a, b), simd(`${f.vector}.lt`, a, b));
        const ordered = kind.eqz().select(simd(`${f.vector}.eq`, a, b), less);
        // Nothing is unordered here.
        const holds = kind.eq(3).select(simd('v128.xor', a, a), ordered);
        const negate = simd('i32x4.splat', I32.of(0).sub(predicate.shrU(2).and(1)));
        c.return(simd('v128.xor', holds, negate));
      });
      const one = typed(helper(`${f.name}.predicate`), i64);
      c.return(
        f.collect(Array.from({ length: f.lanes }, (_, n) => c.call(one, vcpu, f.lane(a, n), f.lane(b, n), predicate))),
      );
      c.unreachable();
    }),
});

/** Relation of two numbers that can be compared, else what the helper says. */
const inlineRelation = (u: Semantics, f: FastFormat, a: Scalar, b: Scalar, quiet: 0 | 1): I32 =>
  guarded(
    u,
    lessThan(a.value, b.value).or(equals(a.value, b.value).shl(6)),
    () => [...incomparable(f, a), ...incomparable(f, b)],
    () => callHelper(u, `${f.name}.compare`, i32, u.vcpu, a.bits, b.bits, I32.of(quiet)),
  );

const extremes = (name: 'min' | 'max', opcode: string): Instruction[] =>
  bothFormats.flatMap((f): Instruction[] => {
    const shape = SHAPES[f.name];
    return [
      {
        name: `${name.toUpperCase()}${shape.packedSize.toUpperCase()}`,
        forms: [`${shape.packed} 0F ${opcode} /r V${shape.packedSize},W${shape.packedSize}`],
        build(u, dst, src) {
          begin(u);
          const b = readVector(u, src);
          if (u.inline) u.writeV(dst, inlinePackedExtreme(u, f, name, u.let(u.readV(dst)), u.let(b)));
          else u.writeV(dst, packed(u, `${f.vector}.${name}`, u.readV(dst), b));
        },
      },
      {
        name: `${name.toUpperCase()}${shape.scalarSize.toUpperCase()}`,
        forms: [`${shape.scalar} 0F ${opcode} /r V${shape.scalarSize},W${shape.scalarSize}`],
        build(u, dst, src) {
          begin(u);
          if (u.inline) {
            const b = readScalar(u, f, src);
            u.writeFloat(dst, inlineExtreme(u, f, name, readScalar(u, f, dst), b));
            return;
          }
          const b = readLow(u, src, f.bits);
          writeLow(u, dst, f.bits, scalar(u, `${f.name}.${name}`, readLow(u, dst, f.bits), b));
        },
      },
    ];
  });

const comparisons: Instruction[] = bothFormats.flatMap((f): Instruction[] => {
  const shape = SHAPES[f.name];
  const toFlags = (name: string, opcode: string, quiet: 0 | 1): Instruction => ({
    name,
    forms: [`${shape.packed} 0F ${opcode} /r V${shape.scalarSize},W${shape.scalarSize}`],
    build(u, a, src) {
      begin(u);
      if (u.inline) {
        const y = readScalar(u, f, src);
        u.flags.setStatus(inlineRelation(u, f, readScalar(u, f, a), y, quiet));
        return;
      }
      const b = readLow(u, src, f.bits);
      const relation = callHelper(u, `${f.name}.compare`, i32, u.vcpu, readLow(u, a, f.bits), b, I32.of(quiet));
      settle(u);
      u.flags.setStatus(relation);
    },
  });
  return [
    {
      name: `CMP${shape.packedSize.toUpperCase()}`,
      forms: [`${shape.packed} 0F C2 /r V${shape.packedSize},W${shape.packedSize},Ib`],
      build(u, dst, src) {
        begin(u);
        const b = readVector(u, src);
        if (u.inline) {
          u.writeV(dst, inlinePredicate(u, f, imm8(u), u.let(u.readV(dst)), u.let(b)));
          return;
        }
        const r = callHelper(u, `${f.vector}.predicate`, v128, u.vcpu, u.readV(dst), b, imm8(u));
        settle(u);
        u.writeV(dst, r);
      },
    },
    {
      name: `CMP${shape.scalarSize.toUpperCase()}${f.bits === 64 ? ' xmm' : ''}`,
      forms: [`${shape.scalar} 0F C2 /r V${shape.scalarSize},W${shape.scalarSize},Ib`],
      build(u, dst, src) {
        begin(u);
        if (u.inline) {
          const b = readScalar(u, f, src);
          u.writeFloat(dst, inlineScalarPredicate(u, f, imm8(u), readScalar(u, f, dst), b));
          return;
        }
        const b = readLow(u, src, f.bits);
        writeLow(u, dst, f.bits, scalar(u, `${f.name}.predicate`, readLow(u, dst, f.bits), b, imm8(u)));
      },
    },
    toFlags(`COMI${shape.scalarSize.toUpperCase()}`, '2F', 0),
    toFlags(`UCOMI${shape.scalarSize.toUpperCase()}`, '2E', 1),
  ];
});

export const sseCompare: InstructionGroup = {
  helpers: [
    softCompare,
    ...bothFormats.flatMap((f) => [
      compareHelper(f),
      extremeHelper(f, 'min'),
      extremeHelper(f, 'max'),
      packedExtremeHelper(f, 'min'),
      packedExtremeHelper(f, 'max'),
      predicateHelper(f),
      packedPredicateHelper(f),
    ]),
  ],
  instructions: [...extremes('min', '5D'), ...extremes('max', '5F'), ...comparisons],
};
