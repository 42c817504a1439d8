import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Code, Fn } from '../wasm/code.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { Vector } from '../exits.ts';
import { signExtend, truncate } from '../flags.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';

/** The encodings that ADD, OR, ADC, SBB, AND, SUB, XOR and CMP share: opcode row n*8, digit n of the immediate group. */
const aluForms = (n: number): string[] => {
  const op = (low: number): string => (n * 8 + low).toString(16).toUpperCase().padStart(2, '0');
  return [
    `${op(0)} /r Eb,Gb`,
    `${op(1)} /r Ev,Gv`,
    `${op(2)} /r Gb,Eb`,
    `${op(3)} /r Gv,Ev`,
    `${op(4)} AL,Ib`,
    `${op(5)} rAX,Iz`,
    `80 /${n} Eb,Ib`,
    `81 /${n} Ev,Iz`,
    `82 /${n} Eb,Ib i64`,
    `83 /${n} Ev,Ib`,
  ];
};

/** dst := combine(dst, src), flags from both. */
const binary = (
  name: string,
  n: number,
  combine: (u: Semantics, a: I64, b: I64) => I64,
  flags: 'add' | 'sub' | 'logic',
): Instruction => ({
  name,
  forms: aluForms(n),
  lock: true,
  build(u, dst, src) {
    const b = u.let(u.read(src));
    const { old, result } = u.modify(dst, (a) => combine(u, a, b));
    if (flags === 'logic') u.flags.logic(u.width, result);
    else if (flags === 'add') u.flags.add(u.width, old, b, result, name === 'ADC');
    else u.flags.sub(u.width, old, b, result, name === 'SBB');
  },
});

const instructions: Instruction[] = [
  // SDM Vol. 2A, "ADD"; the others under their names.
  binary('ADD', 0, (_u, a, b) => a.add(b), 'add'),
  binary('OR', 1, (_u, a, b) => a.or(b), 'logic'),
  binary('ADC', 2, (u, a, b) => a.add(b).add(u.flags.carry().extendU()), 'add'),
  binary('SBB', 3, (u, a, b) => a.sub(b).sub(u.flags.carry().extendU()), 'sub'),
  binary('AND', 4, (_u, a, b) => a.and(b), 'logic'),
  binary('SUB', 5, (_u, a, b) => a.sub(b), 'sub'),
  binary('XOR', 6, (_u, a, b) => a.xor(b), 'logic'),
  {
    name: 'CMP',
    common: true,
    forms: aluForms(7),
    build(u, dst, src) {
      const a = u.let(u.read(dst));
      const b = u.let(u.read(src));
      u.flags.sub(u.width, a, b, u.let(truncate(u.width, a.sub(b))));
    },
  },
  {
    name: 'TEST',
    forms: [
      '84 /r Eb,Gb',
      '85 /r Ev,Gv',
      'A8 AL,Ib',
      'A9 rAX,Iz',
      'F6 /0 Eb,Ib',
      'F6 /1 Eb,Ib',
      'F7 /0 Ev,Iz',
      'F7 /1 Ev,Iz',
    ],
    build(u, dst, src) {
      u.flags.logic(u.width, u.let(u.read(dst).and(u.read(src))));
    },
  },
];

/** INC and DEC leave CF alone. */
const step = (name: string, forms: string[], by: 1 | -1): Instruction => ({
  name,
  forms,
  lock: true,
  build(u, dst) {
    const { old, result } = u.modify(dst, (a) => a.add(by));
    u.flags.step(dst.bits, by, old, result);
  },
});

/** High half of a 64 × 64-bit product, of locals. */
function highProduct(c: Code, a: I64, b: I64): I64 {
  const low = (v: I64): I64 => v.and(0xffff_ffffn);
  const high = (v: I64): I64 => v.shrU(32);
  const middle = c.let(
    high(a)
      .mul(low(b))
      .add(high(low(a).mul(low(b)))),
  );
  const other = c.let(low(a).mul(high(b)).add(low(middle)));
  return high(a).mul(high(b)).add(high(middle)).add(high(other));
}

const multiplyHighHelper: Helper = {
  name: 'multiplyHigh',
  define: (m) =>
    m.function('multiplyHigh', [ValType.i64, ValType.i64], ValType.i64, (c) => {
      c.return(highProduct(c, c.param(ValType.i64, 0), c.param(ValType.i64, 1)));
      c.unreachable();
    }),
};

/** High half of a 64 × 64-bit product, of locals: big numbers' inner loops consist of these. */
export const multiplyHigh = (u: Semantics, a: I64, b: I64): I64 =>
  u.inline ? highProduct(u.code, a, b) : u.code.call(u.helper('multiplyHigh') as Fn<typeof ValType.i64>, a, b);

/** (high, low, divisor) → quotient of a 128-bit dividend, high < divisor; the remainder goes to the scratch area of the vCPU. */
const divide128: Helper = {
  name: 'divide128',
  define: (m) =>
    m.function('divide128', [ValType.i32, ValType.i64, ValType.i64, ValType.i64], ValType.i64, (c) => {
      const vcpu = c.param(ValType.i32, 0);
      const divisor = c.param(ValType.i64, 3);
      const rest = c.variable(ValType.i64, c.param(ValType.i64, 1));
      const quotient = c.variable(ValType.i64, c.param(ValType.i64, 2));
      c.if(
        rest.get.eqz(),
        () => {
          const q = c.let(quotient.get.divU(divisor));
          rest.set(quotient.get.sub(q.mul(divisor)));
          quotient.set(q);
        },
        () => {
          // Two digits of 32 bits (Knuth, The Art of Computer Programming, vol. 2, 4.3.1, algorithm D), after a shift that sets the divisor's top bit.
          const by = c.let(divisor.clz());
          const d = c.let(divisor.shl(by));
          const [d1, d0] = [c.let(d.shrU(32)), c.let(d.and(0xffff_ffffn))];
          const dividend = quotient.get;
          const low = c.let(dividend.shl(by));
          rest.set(rest.get.shl(by).or(dividend.shrU(1).shrU(I64.of(63).sub(by))));
          const digit = (next: I64): I64 => {
            const q = c.variable(ValType.i64, rest.get.divU(d1));
            const r = c.variable(ValType.i64, rest.get.sub(q.get.mul(d1)));
            const correct = (then: () => void): void =>
              c.if(
                q.get
                  .shrU(32)
                  .ne(0)
                  .or(q.get.mul(d0).gtU(r.get.shl(32).or(next))),
                () => {
                  q.set(q.get.sub(1));
                  r.set(r.get.add(d1));
                  then();
                },
              );
            correct(() => c.if(r.get.shrU(32).eqz(), () => correct(() => undefined)));
            rest.set(rest.get.shl(32).add(next).sub(q.get.mul(d)));
            return q.get;
          };
          const first = c.let(digit(c.let(low.shrU(32))));
          const second = digit(c.let(low.and(0xffff_ffffn)));
          quotient.set(first.shl(32).or(second));
          rest.set(rest.get.shrU(by));
        },
      );
      c.store64(vcpu, rest.get, S.scratch);
      c.return(quotient.get);
      c.unreachable();
    }),
};

const signedHigh = (u: Semantics, a: I64, b: I64): I64 =>
  multiplyHigh(u, a, b).sub(a.shrS(63).and(b)).sub(b.shrS(63).and(a));

/** rAX × source → rDX:rAX (AX for bytes). */
const multiply = (name: string, digit: number, signed: boolean): Instruction => ({
  name,
  forms: [`F6 /${digit} Eb`, `F7 /${digit} Ev`],
  build(u, src) {
    const { width } = u;
    const extend = (v: I64): I64 => (signed ? signExtend(width, v) : v);
    const a = u.let(extend(u.gpr(Gpr.rax, width)));
    const b = u.let(extend(u.read(src)));
    const low = u.let(a.mul(b));
    let overflow: I32;
    if (width === 64) {
      const high = u.let(signed ? signedHigh(u, a, b) : multiplyHigh(u, a, b));
      u.setGpr(Gpr.rax, low);
      u.setGpr(Gpr.rdx, high);
      overflow = signed ? high.ne(low.shrS(63)) : high.ne(0);
    } else {
      if (width === 8) u.setGpr(Gpr.rax, low, 16);
      else {
        u.setGpr(Gpr.rax, low, width);
        u.setGpr(Gpr.rdx, low.shrU(width), width);
      }
      overflow = extend(truncate(width, low)).ne(low);
    }
    const o = u.let(overflow);
    u.flags.explicit(width, truncate(width, low), o, o);
  },
});

const divide = (name: string, digit: number, signed: boolean): Instruction => ({
  name,
  forms: [`F6 /${digit} Eb`, `F7 /${digit} Ev`],
  build(u, src) {
    const { width } = u;
    const divisor = u.let(signed ? u.readSigned(src) : u.read(src));
    u.raiseIf(divisor.eqz(), Vector.DE);
    if (width === 64) return divide64(u, divisor, signed);
    const dividend = u.let(
      width === 8
        ? signed
          ? u.gpr(Gpr.rax, 16).extend16S()
          : u.gpr(Gpr.rax, 16)
        : width === 16
          ? signed
            ? u.gpr(Gpr.rdx, 16).shl(16).or(u.gpr(Gpr.rax, 16)).extend32S()
            : u.gpr(Gpr.rdx, 16).shl(16).or(u.gpr(Gpr.rax, 16))
          : u.gpr(Gpr.rdx, 32).shl(32).or(u.gpr(Gpr.rax, 32)),
    );
    // The one quotient that a 64-bit signed division cannot hold is too large for the result anyway.
    if (signed && width === 32) u.raiseIf(dividend.eq(-0x8000_0000_0000_0000n).and(divisor.eq(-1)), Vector.DE);
    const quotient = u.let(signed ? dividend.divS(divisor) : dividend.divU(divisor));
    const fits = signed ? signExtend(width, quotient) : truncate(width, quotient);
    u.raiseIf(fits.ne(quotient), Vector.DE);
    const rest = u.let(dividend.sub(quotient.mul(divisor)));
    if (width === 8) u.setGpr(Gpr.rax, truncate(8, quotient).or(truncate(8, rest).shl(8)), 16);
    else {
      u.setGpr(Gpr.rax, quotient, width);
      u.setGpr(Gpr.rdx, rest, width);
    }
  },
});

function divide64(u: Semantics, divisor: I64, signed: boolean): void {
  const divide = u.helper('divide128') as Fn<typeof ValType.i64>;
  const low = u.let(u.gpr(Gpr.rax));
  const high = u.let(u.gpr(Gpr.rdx));
  if (!signed) {
    u.raiseIf(high.geU(divisor), Vector.DE);
    u.setGpr(Gpr.rax, u.let(u.code.call(divide, u.vcpu, high, low, divisor)));
    u.setGpr(Gpr.rdx, u.vcpu.load64(S.scratch));
    return;
  }
  // Magnitudes are divided; the quotient's sign is the product of signs, the remainder's that of the dividend.
  const negative = u.let(high.shrS(63));
  const flipped = u.let(low.xor(negative));
  const magnitudeLow = u.let(flipped.sub(negative));
  const carry = u.let(negative.ne(0).and(magnitudeLow.eqz()).extendU());
  const magnitudeHigh = u.let(high.xor(negative).add(carry));
  const divisorSign = u.let(divisor.shrS(63));
  const magnitude = u.let(divisor.xor(divisorSign).sub(divisorSign));
  u.raiseIf(magnitudeHigh.geU(magnitude), Vector.DE);
  const q = u.let(u.code.call(divide, u.vcpu, magnitudeHigh, magnitudeLow, magnitude));
  const sign = u.let(negative.xor(divisorSign));
  const signedQ = u.let(q.xor(sign).sub(sign));
  u.raiseIf(q.ne(0).and(signedQ.xor(sign).ltS(0)), Vector.DE);
  u.setGpr(Gpr.rax, signedQ);
  u.setGpr(Gpr.rdx, u.vcpu.load64(S.scratch).xor(negative).sub(negative));
}

const more: Instruction[] = [
  step('INC', ['FE /0 Eb', 'FF /0 Ev', '40+r Zv i64'], 1),
  step('DEC', ['FE /1 Eb', 'FF /1 Ev', '48+r Zv i64'], -1),
  {
    name: 'NEG',
    forms: ['F6 /3 Eb', 'F7 /3 Ev'],
    lock: true,
    build(u, dst) {
      const { old, result } = u.modify(dst, (a) => a.neg());
      u.flags.sub(dst.bits, u.let(I64.of(0)), old, result);
    },
  },
  {
    name: 'NOT',
    forms: ['F6 /2 Eb', 'F7 /2 Ev'],
    lock: true,
    build: (u, dst) => void u.modify(dst, (a) => a.not()),
  },
  multiply('MUL', 4, false),
  multiply('IMUL', 5, true),
  divide('DIV', 6, false),
  divide('IDIV', 7, true),
  {
    name: 'IMUL_truncating',
    forms: ['0F AF /r Gv,Ev', '69 /r Gv,Ev,Iz', '6B /r Gv,Ev,Ib'],
    build(u, dst, src, factor) {
      const { width } = u;
      const a = u.let(u.readSigned(src));
      const b = u.let(factor.position === 2 ? signExtend(width, u.immediate()) : u.readSigned(dst));
      const product = u.let(a.mul(b));
      const overflow = u.let(
        width === 64
          ? signedHigh(u, a, b).ne(product.shrS(63))
          : signExtend(width, truncate(width, product)).ne(product),
      );
      u.write(dst, product);
      u.flags.explicit(width, truncate(width, product), overflow, overflow);
    },
  },
  // ADCX and ADOX touch one flag each (SDM Vol. 2A).
  ...(['ADCX', 'ADOX'] as const).map((name): Instruction => ({
    name,
    forms: [`${name === 'ADCX' ? '66' : 'F3'} 0F 38 F6 /r Gy,Ey`],
    build(u, dst, src) {
      const a = u.let(u.read(dst));
      const b = u.let(u.read(src));
      const carryIn = u.let(name === 'ADCX' ? u.flags.carry() : u.flags.overflow());
      const sum = u.let(truncate(dst.bits, a.add(b).add(carryIn.extendU())));
      const out = u.let(sum.ltU(a).or(carryIn.and(sum.eq(a))));
      u.write(dst, sum);
      if (name === 'ADCX') u.flags.setCarry(out);
      else u.flags.setCarryOverflow(u.flags.carry(), out);
    },
  })),
];

/** Decimal adjustments, compatibility mode only (SDM Vol. 2A, "AAA" and the following). */
const decimal: Instruction[] = [
  ...(['DAA', 'DAS'] as const).map((name): Instruction => ({
    name,
    forms: [name === 'DAA' ? '27 i64' : '2F i64'],
    build(u) {
      const al = u.let(u.gpr(Gpr.rax, 8).wrap());
      const carryIn = u.let(u.flags.carry());
      const low = u.let(al.and(15).gtU(9).or(u.flags.adjust()));
      const high = u.let(al.gtU(0x99).or(carryIn));
      const amount = low.mul(6).add(high.mul(0x60));
      const result = u.let(truncate(8, (name === 'DAA' ? al.add(amount) : al.sub(amount)).extendU()));
      u.setGpr(Gpr.rax, result, 8);
      const borrow = name === 'DAS' ? low.and(al.ltU(6)) : I32.of(0);
      const carry = u.let(high.or(borrow));
      u.flags.explicit(8, result, carry, I32.of(0), low);
    },
  })),
  ...(['AAA', 'AAS'] as const).map((name): Instruction => ({
    name,
    forms: [name === 'AAA' ? '37 i64' : '3F i64'],
    build(u) {
      const ax = u.let(u.gpr(Gpr.rax, 16).wrap());
      const adjust = u.let(ax.and(15).gtU(9).or(u.flags.adjust()));
      const changed = name === 'AAA' ? ax.add(adjust.mul(0x106)) : ax.sub(adjust.mul(0x106));
      const result = u.let(changed.and(0xff0f).extendU());
      u.setGpr(Gpr.rax, result, 16);
      u.flags.explicit(8, u.let(truncate(8, result)), adjust, I32.of(0), adjust);
    },
  })),
  {
    name: 'AAM',
    forms: ['D4 Ib i64'],
    build(u) {
      const base = u.let(u.immediate().and(0xff));
      u.raiseIf(base.eqz(), Vector.DE);
      const al = u.let(u.gpr(Gpr.rax, 8));
      const low = u.let(al.remU(base));
      u.setGpr(Gpr.rax, al.divU(base).shl(8).or(low), 16);
      u.flags.logic(8, low);
    },
  },
  {
    name: 'AAD',
    forms: ['D5 Ib i64'],
    build(u) {
      const ah = u.gpr(Gpr.rax, 16).shrU(8);
      const al = u.let(truncate(8, u.gpr(Gpr.rax, 8).add(ah.mul(u.immediate().and(0xff)))));
      u.setGpr(Gpr.rax, al, 16);
      u.flags.logic(8, al);
    },
  },
];

export const arithmetic: InstructionGroup = {
  instructions: [...instructions, ...more, ...decimal],
  helpers: [multiplyHighHelper, divide128],
};
