import type { Helper } from '../instruction-set.ts';
import { S } from '../state-layout.ts';
import type { Code } from '../wasm/code.ts';
import { simd } from '../wasm/simd.ts';
import { F32, F64, I32, type I64, ValType } from '../wasm/value.ts';
import {
  bitsOf,
  bothFormats,
  type FastFormat,
  floatOf,
  none,
  precisionSettled,
  roundsToNearest,
} from './sse-format.ts';
import { typed } from './sse-operands.ts';
import { Mx, note } from './sse-soft.ts';
import { softArithmetic } from './sse-soft-arithmetic.ts';

const { i32, i64, v128 } = ValType;

type Operation = 'add' | 'sub' | 'mul' | 'div';

/**
 * Whether a result that needed no special care is exact: 'yes' says so; 'unsure' when the answer needs the slow path. Numbers here are ordinary, so
 * nothing overflows or underflows.
 */
interface Exactness {
  readonly yes: I32;
  readonly unsure?: I32;
}

/** The error of a sum is itself a number and found by six additions (Knuth, The Art of Computer Programming Vol. 2, 4.2.2, theorem B). */
function sumIsExact(c: Code, a: F64 | F32, b: F64 | F32, s: F64 | F32): Exactness {
  if (a instanceof F64 && b instanceof F64 && s instanceof F64) {
    const t = c.let(s.sub(a));
    return { yes: a.sub(s.sub(t)).add(b.sub(t)).eq(F64.of(0)) };
  }
  if (a instanceof F32 && b instanceof F32 && s instanceof F32) {
    const t = c.let(s.sub(a));
    return { yes: a.sub(s.sub(t)).add(b.sub(t)).promote().eq(F64.of(0)) };
  }
  throw new Error('mixed formats');
}

/** x × y = z in a format: for single precision by doubles, which hold every product; for doubles by counting significant bits. */
function productIsExact(c: Code, f: FastFormat, x: I64, y: I64, z: I64): Exactness {
  if (f.bits === 32) {
    const wide = (v: I64): F64 => v.wrap().asF32().promote();
    return { yes: wide(x).mul(wide(y)).eq(wide(z)) };
  }
  const trailing = (v: I64): I64 => v.or(1n << 52n).ctz();
  const free = c.let(trailing(x).add(trailing(y)));
  // 106 bits less the free ones, or one less: up to 53 a double holds the product, from 55 on it cannot.
  return { yes: free.geU(53).and(x.asF64().mul(y.asF64()).eq(z.asF64())), unsure: free.eq(52) };
}

function exactness(c: Code, f: FastFormat, op: Operation, a: I64, b: I64, r: I64): Exactness {
  switch (op) {
    case 'add':
      return sumIsExact(c, floatOf(f, a), floatOf(f, b), floatOf(f, r));
    case 'sub':
      return sumIsExact(c, floatOf(f, a), negated(floatOf(f, b)), floatOf(f, r));
    case 'mul':
      return productIsExact(c, f, a, b, r);
    case 'div':
      return productIsExact(c, f, r, b, a);
    default: {
      const never: never = op;
      throw new Error(String(never));
    }
  }
}
const negated = (x: F32 | F64): F32 | F64 => x.neg();

const apply = (op: Operation | 'sqrt', a: F32 | F64, b: F32 | F64): F32 | F64 => {
  if (op === 'sqrt') return a.sqrt();
  if (a instanceof F64 && b instanceof F64) return a[op](b);
  if (a instanceof F32 && b instanceof F32) return a[op](b);
  throw new Error('mixed formats');
};
const softName = (op: string): string => `sseSoft${(op[0] ?? '').toUpperCase()}${op.slice(1)}`;

/** (vcpu, a, b) → bits: WebAssembly's result where it is the right one and its exactness is known or does not matter, else the slow path. */
const scalarHelper = (f: FastFormat, op: Operation): Helper => ({
  name: `${f.name}.${op}`,
  define: (m, { helper }) =>
    m.function(`${f.name}.${op}`, [i32, i64, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const a = c.param(i64, 1);
      const b = c.param(i64, 2);
      const r = c.let(bitsOf(apply(op, floatOf(f, a), floatOf(f, b))));
      c.if(roundsToNearest(vcpu).and(f.isPlain(a)).and(f.isPlain(b)).and(f.isOrdinary(r)), () => {
        c.if(precisionSettled(c, vcpu), () => c.return(r));
        const { yes, unsure } = exactness(c, f, op, a, b, r);
        c.if(yes, () => c.return(r));
        const inexact = (): void => {
          note(c, vcpu, Mx.PE);
          c.return(r);
        };
        if (unsure) c.if(unsure.eqz(), inexact);
        else inexact();
      });
      c.returnCall(helper(softName(op)), vcpu, I32.of(f.m), a, b);
      c.unreachable();
    }),
});

/** (vcpu, a) → bits of the square root. */
const rootHelper = (f: FastFormat): Helper => ({
  name: `${f.name}.sqrt`,
  define: (m, { helper }) =>
    m.function(`${f.name}.sqrt`, [i32, i64], i64, (c) => {
      const vcpu = c.param(i32, 0);
      const a = c.param(i64, 1);
      const r = c.let(bitsOf(floatOf(f, a).sqrt()));
      c.if(roundsToNearest(vcpu).and(f.isPlain(a)).and(f.isOrdinary(r)), () => {
        c.if(precisionSettled(c, vcpu), () => c.return(r));
        const { yes, unsure } = productIsExact(c, f, r, r, a);
        c.if(yes, () => c.return(r));
        if (unsure)
          c.if(unsure.eqz(), () => {
            note(c, vcpu, Mx.PE);
            c.return(r);
          });
      });
      c.returnCall(helper('sseSoftSqrt'), vcpu, I32.of(f.m), a);
      c.unreachable();
    }),
});

/** (vcpu, a, b) → vector: all lanes at once when each is ordinary and precision is settled, else lane by lane. `odd` is the operation of odd lanes. */
const packedHelper = (name: string, f: FastFormat, op: Operation | 'sqrt', odd: Operation | 'sqrt' = op): Helper => ({
  name,
  define: (m, { helper }) =>
    m.function(name, op === 'sqrt' ? [i32, v128] : [i32, v128, v128], v128, (c) => {
      const vcpu = c.param(i32, 0);
      const a = c.param(v128, 1);
      const b = op === 'sqrt' ? a : c.param(v128, 2);
      if (op === odd) {
        const r = c.let(op === 'sqrt' ? simd(`${f.vector}.sqrt`, a) : simd(`${f.vector}.${op}`, a, b));
        const denormals = op === 'sqrt' ? f.denormals(a) : simd('v128.or', f.denormals(a), f.denormals(b));
        const odd = simd('v128.or', denormals, f.extraordinary(r, op === 'add' || op === 'sub'));
        c.if(roundsToNearest(vcpu).and(precisionSettled(c, vcpu)).and(none(odd)), () => c.return(r));
      }
      const scalars = [op, odd].map((o) => typed(helper(`${f.name}.${o}`), i64));
      const lanes = Array.from({ length: f.lanes }, (_, n) => {
        const args = op === 'sqrt' ? [f.lane(a, n)] : [f.lane(a, n), f.lane(b, n)];
        const scalar = scalars[n & 1];
        if (!scalar) throw new Error('two operations alternate');
        return c.call(scalar, vcpu, ...args);
      });
      c.return(f.collect(lanes));
      c.unreachable();
    }),
});

/** (vcpu) → 1 when an exception is unmasked: moves what the instruction found into MXCSR. */
const settleHelper: Helper = {
  name: 'sseSettle',
  define: (m) =>
    m.function('sseSettle', [i32], i32, (c) => {
      const vcpu = c.param(i32, 0);
      const found = c.variable(i32, vcpu.load32(S.mxcsrPending));
      const mxcsr = c.let(vcpu.load32(S.mxcsr));
      const unmasked = c.let(found.get.and(mxcsr.shrU(Mx.masks).not()).and(0x3f));
      // An unmasked exception found before computing stops the others from being found (SDM Vol. 1, "Handling Combinations of Masked and Unmasked…").
      c.if(unmasked.and(Mx.IE | Mx.DE | Mx.ZE), () => found.set(found.get.and(Mx.IE | Mx.DE | Mx.ZE)));
      c.store32(vcpu, mxcsr.or(found.get), S.mxcsr);
      c.store32(vcpu, I32.of(0), S.mxcsrPending);
      c.return(unmasked.ne(0));
      c.unreachable();
    }),
};

const OPERATIONS = ['add', 'sub', 'mul', 'div'] as const;

/** f32.add and f64x2.add and so on: scalar and packed, by format. */
export const arithmeticHelpers: readonly Helper[] = [
  ...softArithmetic,
  settleHelper,
  ...bothFormats.flatMap((f) => [
    ...OPERATIONS.map((op) => scalarHelper(f, op)),
    rootHelper(f),
    ...OPERATIONS.map((op) => packedHelper(`${f.vector}.${op}`, f, op)),
    packedHelper(`${f.vector}.sqrt`, f, 'sqrt'),
    packedHelper(`${f.vector}.addsub`, f, 'sub', 'add'),
  ]),
];
