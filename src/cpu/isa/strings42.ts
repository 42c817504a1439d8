import { truncate } from '../flags.ts';
import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import type { Code } from '../wasm/code.ts';
import { reduce, simd, vectorOf, ZERO } from '../wasm/simd.ts';
import { I32, I64, type V128, ValType } from '../wasm/value.ts';
import { begin, callHelper, imm8 } from './sse-operands.ts';

const { i32, v128 } = ValType;

/** Bits of the immediate (SDM Vol. 1, "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM"). */
const Control = { words: 1, signed: 2, aggregation: 0xc, negate: 0x10, onlyValid: 0x20, output: 0x40 } as const;

const bitsBelow = (n: I32): I32 => I32.of(1).shl(n).sub(1);

interface Width {
  readonly bytes: 1 | 2;
  readonly count: 16 | 8;
  equal(a: V128, b: V128): V128;
  greaterSigned(a: V128, b: V128): V128;
  mask(v: V128): I32;
  splat(x: I32): V128;
  /** The most negative value: turns unsigned order into signed. */
  readonly bias: number;
}
const widths: readonly Width[] = [
  {
    bytes: 1,
    count: 16,
    equal: (a, b) => simd('i8x16.eq', a, b),
    greaterSigned: (a, b) => simd('i8x16.gt_s', a, b),
    mask: (v) => reduce('i8x16.bitmask', v),
    splat: (x) => simd('i8x16.splat', x),
    bias: 0x80,
  },
  {
    bytes: 2,
    count: 8,
    equal: (a, b) => simd('i16x8.eq', a, b),
    greaterSigned: (a, b) => simd('i16x8.gt_s', a, b),
    mask: (v) => reduce('i16x8.bitmask', v),
    splat: (x) => simd('i16x8.splat', x),
    bias: 0x8000,
  },
];

/**
 * One aggregation over elements of one width; gives IntRes1. `a` is the first operand, whose elements are taken one at a time from memory at `list`; `b` the
 * second one, whose elements are the bits of the result.
 */
function aggregate(
  c: Code,
  w: Width,
  o: { a: V128; b: V128; list: I32; lengthA: I32; lengthB: I32; control: I32 },
): I32 {
  const { a, b, list, lengthA, lengthB, control } = o;
  const all = (1 << w.count) - 1;
  const validA = bitsBelow(lengthA);
  const validB = c.let(bitsBelow(lengthB));
  const result = c.variable(i32, I32.of(0));
  const n = c.variable(i32, I32.of(0));
  const element = (at: I32): I32 => (w.bytes === 1 ? list.add(at).load8U() : list.add(at.shl(1)).load16U());
  const each = (step: number, body: () => void): void =>
    c.while(
      () => n.get.add(step - 1).ltU(lengthA),
      () => {
        body();
        n.set(n.get.add(step));
      },
    );
  const anyOf = (): void => each(1, () => result.set(result.get.or(w.mask(w.equal(b, w.splat(element(n.get)))))));
  const ranges = (): void => {
    const unsigned = control.and(Control.signed).eqz().select(I32.of(w.bias), I32.of(0));
    const bias = c.let(w.splat(unsigned));
    const x = c.let(simd('v128.xor', b, bias));
    const bound = (at: I32): V128 => simd('v128.xor', w.splat(element(at)), bias);
    each(2, () => {
      const outside = simd('v128.or', w.greaterSigned(bound(n.get), x), w.greaterSigned(x, bound(n.get.add(1))));
      result.set(result.get.or(w.mask(outside).not()));
    });
  };
  // Elements beyond both ends count as equal, beyond one end as different.
  const same = (): void => {
    const both = validA.and(validB);
    const neither = validA.or(validB).not();
    result.set(w.mask(w.equal(a, b)).and(both).or(neither));
  };
  // All of a must follow from here on, as far as b reaches in the register.
  const ordered = (): void => {
    result.set(I32.of(all));
    each(1, () => {
      const hits = w.mask(w.equal(b, w.splat(element(n.get)))).and(validB);
      const beyond = I32.of(all).shrU(n.get).not();
      result.set(result.get.and(hits.shrU(n.get).or(beyond)));
    });
  };
  c.switch(
    control.and(Control.aggregation).shrU(2),
    [
      () => {
        anyOf();
        result.set(result.get.and(validB));
      },
      () => {
        ranges();
        result.set(result.get.and(validB));
      },
      same,
    ],
    ordered,
  );
  return c.let(result.get.and(all));
}

/** (vcpu, a, b, length of a, length of b, control) → IntRes2 | 0x10000 × (b ends early) | 0x20000 × (a ends early). */
const compareHelper: Helper = {
  name: 'stringCompare',
  define: (m) =>
    m.function('stringCompare', [i32, v128, v128, i32, i32, i32], i32, (c) => {
      const [vcpu, a, b] = [c.param(i32, 0), c.param(v128, 1), c.param(v128, 2)];
      const [lengthA, lengthB, control] = [c.param(i32, 3), c.param(i32, 4), c.param(i32, 5)];
      c.storeV128(vcpu, a, S.scratch);
      const list = c.let(vcpu.add(S.scratch));
      const result = c.variable(i32);
      const early = c.variable(i32);
      const finish = (w: Width): void => {
        const first = aggregate(c, w, { a, b, list, lengthA, lengthB, control });
        const inverted = control.and(Control.onlyValid).select(bitsBelow(lengthB), I32.of((1 << w.count) - 1));
        result.set(first.xor(control.and(Control.negate).select(inverted, I32.of(0))));
        early.set(lengthB.ltU(w.count).shl(16).or(lengthA.ltU(w.count).shl(17)));
      };
      const [bytes, words] = widths;
      if (!bytes || !words) throw new Error('two widths');
      c.if(
        control.and(Control.words),
        () => finish(words),
        () => finish(bytes),
      );
      c.return(result.get.or(early.get));
      c.unreachable();
    }),
};

/** (v, control) → elements before the first zero. */
const lengthHelper: Helper = {
  name: 'stringLength',
  define: (m) =>
    m.function('stringLength', [v128, i32], i32, (c) => {
      const v = c.param(v128, 0);
      c.if(c.param(i32, 1).and(Control.words), () =>
        c.return(
          reduce('i16x8.bitmask', simd('i16x8.eq', v, ZERO))
            .or(0x100)
            .ctz(),
        ),
      );
      c.return(
        reduce('i8x16.bitmask', simd('i8x16.eq', v, ZERO))
          .or(0x10000)
          .ctz(),
      );
      c.unreachable();
    }),
};

/** The length in EAX or EDX (RAX, RDX with REX.W): its magnitude, at most all elements. */
function explicitLength(u: Semantics, register: number, bits: 32 | 64, control: I32): I32 {
  const raw = u.let(bits === 64 ? u.gpr(register) : u.gpr(register, 32).extend32S());
  const magnitude = u.let(raw.ltS(0).select(raw.neg(), raw));
  const count = control.and(Control.words).select(I64.of(8), I64.of(16));
  return u.let(magnitude.ltU(count).select(magnitude, count).wrap());
}

/** Bits spread over the lanes of a vector. */
function masks(bits: I32, words: boolean): V128 {
  if (words) {
    const bit = vectorOf(Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 1 << (i / 2) : 0)));
    return simd('i16x8.eq', simd('v128.and', simd('i16x8.splat', bits), bit), bit);
  }
  const spread = simd(
    'i8x16.swizzle',
    simd('i16x8.splat', bits),
    vectorOf(Array.from({ length: 16 }, (_, i) => (i < 8 ? 0 : 1))),
  );
  const bit = vectorOf(Array.from({ length: 16 }, (_, i) => 1 << (i % 8)));
  return simd('i8x16.eq', simd('v128.and', spread, bit), bit);
}

const stringCompare = (opcode: string, explicit: boolean, index: boolean, bits: 32 | 64): Instruction => ({
  name: `PCMP${explicit ? 'E' : 'I'}STR${index ? 'I' : 'M'}${bits === 64 ? '64' : ''}`,
  forms: [`66 0F 3A ${opcode} /r Vdq,Wdq,Ib${explicit ? ` W${bits === 64 ? 1 : 0}` : ''}`],
  build(u, first, second) {
    begin(u);
    // No alignment is asked of this memory operand.
    const b = u.let(u.readV(second));
    const a = u.let(u.readV(first));
    const control = u.let(imm8(u));
    const [lengthA, lengthB] = explicit
      ? [explicitLength(u, Gpr.rax, bits, control), explicitLength(u, Gpr.rdx, bits, control)]
      : [callHelper(u, 'stringLength', i32, a, control), callHelper(u, 'stringLength', i32, b, control)];
    const compared = callHelper(u, 'stringCompare', i32, u.vcpu, a, b, lengthA, lengthB, control);
    const result = u.let(compared.and(0xffff));
    if (index) {
      const count = control.and(Control.words).select(I32.of(8), I32.of(16));
      const least = result.ctz();
      const most = I32.of(31).sub(result.clz());
      const found = control.and(Control.output).select(most, least);
      u.setGpr(Gpr.rcx, truncate(32, result.select(found, count).extendU()), 32);
    } else {
      const plain = simd(
        'v128.and',
        simd('i32x4.splat', result),
        vectorOf([0xff, 0xff, ...new Array<number>(14).fill(0)]),
      );
      const spread = control.and(Control.words).select(masks(result, true), masks(result, false));
      u.setXmm(0, control.and(Control.output).select(spread, plain));
    }
    const bit = (x: I32, from: number, to: number): I32 => x.shrU(from).and(1).shl(to);
    u.flags.setStatus(
      result
        .ne(0)
        .or(bit(compared, 16, 6))
        .or(bit(compared, 17, 7))
        .or(bit(result, 0, 11)),
    );
  },
});

const instructions: Instruction[] = [
  stringCompare('60', true, false, 32),
  stringCompare('60', true, false, 64),
  stringCompare('61', true, true, 32),
  stringCompare('61', true, true, 64),
  stringCompare('62', false, false, 32),
  stringCompare('63', false, true, 32),
];
export const strings42: InstructionGroup = { helpers: [lengthHelper, compareHelper], instructions };
