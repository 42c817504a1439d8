import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Fn } from '../wasm/code.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { signExtend, truncate } from '../flags.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { multiplyHigh } from './arithmetic.ts';

const { i64 } = ValType;

/** BT, BTS, BTR, BTC: opcode of the register form, digit of the immediate form, new value of the tested word. */
function bitTest(
  name: string,
  opcode: string,
  digit: number,
  lock: boolean,
  change: ((a: I64, mask: I64) => I64) | undefined,
): Instruction {
  return {
    name,
    forms: [`0F ${opcode} /r Ev,Gv`, `0F BA /${digit} Ev,Ib`],
    lock,
    build(u, dst, src) {
      const { width } = u;
      const offset = u.let(src.kind === 'i' ? u.immediate() : u.readSigned(src));
      const position = u.let(offset.and(width - 1));
      const mask = u.let(I64.of(1).shl(position));
      let old: I64;
      if (dst.kind === 'm') {
        // A register names any bit of a string that starts at the operand, before it too (SDM Vol. 2A, "BT").
        const bytes = u.let(offset.shrS(Math.log2(width)).shl(Math.log2(width / 8)));
        const va = src.kind === 'i' ? u.address(dst) : wrapped(u, u.address(dst), bytes);
        old = change ? u.modifyMemory(va, width, (a) => change(a, mask)).old : u.load(width, va);
      } else old = change ? u.modify(dst, (a) => change(a, mask)).old : u.let(u.read(dst));
      u.flags.setCarry(old.shrU(position).and(1).wrap());
    },
  };
}

/** An address further on in a bit string. With 16- and 32-bit addressing it wraps before the segment base is added. */
function wrapped(u: Semantics, address: I64, bytes: I64): I64 {
  const va = u.code.variable(i64, address.add(bytes));
  const wrap = u.let(u.op.load8U(Op.scale));
  u.code.if(wrap.geU(16), () => {
    const base = u.let(u.vcpu.add(u.op.load16U(Op.c)).load64());
    const mask = I64.of(-1).shrU(I64.of(64).sub(wrap.extendU()));
    const linear = u.let(address.sub(base).add(bytes).and(mask).add(base));
    va.set(u.vcpu.load32(S.mode).select(truncate(32, linear), linear));
  });
  return u.let(va.get);
}

/** Leading zeros of a value of `bits`, zero-extended. */
const leadingZeros = (bits: number, value: I64): I64 => value.clz().sub(64 - bits);
/** Trailing zeros; `bits` for zero. */
const trailingZeros = (bits: number, value: I64): I64 => (bits === 64 ? value : value.or(1n << BigInt(bits))).ctz();

/** ZF and CF as given, the other status flags clear. */
function zeroCarry(u: Semantics, zero: I32, carry: I32): void {
  u.flags.setStatus(zero.shl(6).or(carry));
}

const scans: Instruction[] = [
  bitTest('BT', 'A3', 4, false, undefined),
  bitTest('BTS', 'AB', 5, true, (a, mask) => a.or(mask)),
  bitTest('BTR', 'B3', 6, true, (a, mask) => a.and(mask.not())),
  bitTest('BTC', 'BB', 7, true, (a, mask) => a.xor(mask)),
  // A source of zero sets ZF and leaves the destination as it is: undefined by Intel, promised by AMD (APM Vol. 3, "BSF").
  ...(['BSF', 'BSR'] as const).map((name): Instruction => ({
    name,
    forms: [`0F ${name === 'BSF' ? 'BC' : 'BD'} /r Gv,Ev`],
    build(u, dst, src) {
      const a = u.let(u.read(src));
      u.code.if(a.ne(0), () => u.write(dst, name === 'BSF' ? a.ctz() : I64.of(63).sub(a.clz())));
      u.flags.setZero(a.eqz());
    },
  })),
  {
    name: 'TZCNT',
    forms: ['F3 0F BC /r Gv,Ev'],
    build(u, dst, src) {
      const a = u.let(u.read(src));
      const n = u.let(trailingZeros(u.width, a));
      u.write(dst, n);
      u.flags.explicit(64, n, a.eqz(), I32.of(0));
    },
  },
  {
    name: 'LZCNT',
    forms: ['F3 0F BD /r Gv,Ev'],
    build(u, dst, src) {
      const a = u.let(u.read(src));
      const n = u.let(leadingZeros(u.width, a));
      u.write(dst, n);
      u.flags.explicit(64, n, a.eqz(), I32.of(0));
    },
  },
  {
    name: 'POPCNT',
    forms: ['F3 0F B8 /r Gv,Ev'],
    build(u, dst, src) {
      const a = u.let(u.read(src));
      u.write(dst, a.popcnt());
      zeroCarry(u, a.eqz(), I32.of(0));
    },
  },
];

/** BMI1 and BMI2 (SDM Vol. 2, under their names); VEX-encoded, 32 and 64 bits. */
const bmi: Instruction[] = [
  {
    name: 'ANDN',
    forms: ['VEX NP 0F 38 F2 /r Gy,By,Ey'],
    build(u, dst, a, b) {
      const r = u.let(u.read(a).not().and(u.read(b)));
      u.write(dst, r);
      u.flags.logic(dst.bits, u.let(truncate(dst.bits, r)));
    },
  },
  ...(
    [
      ['BLSR', 1, (a: I64): I64 => a.sub(1).and(a)],
      ['BLSMSK', 2, (a: I64): I64 => a.sub(1).xor(a)],
      ['BLSI', 3, (a: I64): I64 => a.neg().and(a)],
    ] as const
  ).map(([name, digit, meaning]): Instruction => ({
    name,
    forms: [`VEX NP 0F 38 F3 /${digit} By,Ey`],
    build(u, dst, src) {
      const a = u.let(u.read(src));
      const r = u.let(truncate(dst.bits, meaning(a)));
      u.write(dst, r);
      u.flags.explicit(dst.bits, r, name === 'BLSI' ? a.ne(0) : a.eqz(), I32.of(0));
    },
  })),
  {
    name: 'BEXTR',
    forms: ['VEX NP 0F 38 F7 /r Gy,Ey,By'],
    build(u, dst, src, control) {
      const c = u.let(u.read(control));
      const start = u.let(c.and(0xff));
      const length = u.let(c.shrU(8).and(0xff));
      const moved = start.ltU(64).select(u.read(src).shrU(start), I64.of(0));
      const r = u.let(length.ltU(64).select(moved.and(I64.of(1).shl(length).sub(1)), moved));
      u.write(dst, r);
      u.flags.logic(64, r);
    },
  },
  {
    name: 'BZHI',
    forms: ['VEX NP 0F 38 F5 /r Gy,Ey,By'],
    build(u, dst, src, control) {
      const n = u.let(u.read(control).and(0xff));
      const a = u.let(u.read(src));
      const beyond = u.let(n.gtU(dst.bits - 1));
      const r = u.let(beyond.select(a, a.and(I64.of(1).shl(n).sub(1))));
      u.write(dst, r);
      u.flags.explicit(dst.bits, r, beyond, I32.of(0));
    },
  },
  {
    name: 'MULX',
    forms: ['VEX F2 0F 38 F6 /r Gy,By,Ey'],
    build(u, high, low, src) {
      const a = u.let(u.gpr(Gpr.rdx, high.bits));
      const b = u.let(u.read(src));
      const product = u.let(a.mul(b));
      const top = u.let(high.bits === 32 ? product.shrU(32) : multiplyHigh(u, a, b));
      u.write(low, product);
      // The high half wins when both are one register.
      u.write(high, top);
    },
  },
  ...(['PDEP', 'PEXT'] as const).map((name): Instruction => ({
    name,
    forms: [`VEX ${name === 'PDEP' ? 'F2' : 'F3'} 0F 38 F5 /r Gy,By,Ey`],
    build: (u, dst, src, mask) =>
      u.write(dst, u.code.call(u.helper(name) as Fn<typeof i64>, u.read(src), u.read(mask))),
  })),
  {
    name: 'RORX',
    forms: ['VEX F2 0F 3A F0 /r Gy,Ey,Ib'],
    build: (u, dst, src) =>
      u.write(
        dst,
        dst.bits === 64 ? u.read(src).rotr(u.immediate()) : u.read(src).wrap().rotr(u.immediate().wrap()).extendU(),
      ),
  },
  ...(
    [
      [
        'SARX',
        'F3',
        (u: Semantics, bits: number, a: I64, n: I64): I64 => {
          void u;
          return signExtend(bits, a).shrS(n);
        },
      ],
      ['SHLX', '66', (_u: Semantics, _bits: number, a: I64, n: I64): I64 => a.shl(n)],
      ['SHRX', 'F2', (_u: Semantics, _bits: number, a: I64, n: I64): I64 => a.shrU(n)],
    ] as const
  ).map(([name, prefix, meaning]): Instruction => ({
    name,
    forms: [`VEX ${prefix} 0F 38 F7 /r Gy,Ey,By`],
    build: (u, dst, src, count) => u.write(dst, meaning(u, dst.bits, u.read(src), u.read(count).and(dst.bits - 1))),
  })),
];

/** (source, mask): moves bits between the low end and the places of the mask's bits. */
const scatter = (name: 'PDEP' | 'PEXT'): Helper => ({
  name,
  define: (m) =>
    m.function(name, [i64, i64], i64, (c) => {
      const source = c.variable(i64, c.param(i64, 0));
      const mask = c.variable(i64, c.param(i64, 1));
      const result = c.variable(i64, I64.of(0));
      const place = c.variable(i64, I64.of(1));
      c.while(
        () => mask.get.ne(0),
        () => {
          const lowest = c.let(mask.get.and(mask.get.neg()));
          const [from, to] = name === 'PDEP' ? [place.get, lowest] : [lowest, place.get];
          c.if(source.get.and(from).ne(0), () => result.set(result.get.or(to)));
          place.set(place.get.shl(1));
          mask.set(mask.get.xor(lowest));
        },
      );
      c.return(result.get);
      c.unreachable();
    }),
});

export const bits: InstructionGroup = { instructions: [...scans, ...bmi], helpers: [scatter('PDEP'), scatter('PEXT')] };
