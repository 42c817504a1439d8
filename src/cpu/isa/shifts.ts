import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { I32, I64 } from '../wasm/value.ts';
import { signExtend } from '../flags.ts';
import type { Operand, Semantics } from '../semantics.ts';

/** The encodings that the shift and rotate group shares, by ModRM.reg. */
const shiftForms = (digit: number): string[] => [
  `C0 /${digit} Eb,Ib`,
  `C1 /${digit} Ev,Ib`,
  `D0 /${digit} Eb`,
  `D1 /${digit} Ev`,
  `D2 /${digit} Eb,CL`,
  `D3 /${digit} Ev,CL`,
];

/** The masked count: 5 bits, 6 for 64-bit operands; the forms without a second operand shift by one. */
const countOf = (u: Semantics, count: Operand): I64 =>
  u.let(count.position === 1 ? u.read(count, 8).and(u.width === 64 ? 63 : 31) : I64.of(1));

const bitAt = (value: I64, position: I64 | number): I32 => value.shrU(position).and(1).wrap();
const top = (width: number, value: I64): I32 => bitAt(value, width - 1);

/** A shift: result, and CF and OF of a count that is not 0; ZF SF PF follow the result. */
function shift(
  name: string,
  digits: readonly number[],
  meaning: (u: Semantics, a: I64, count: I64) => I64,
  flags: (u: Semantics, a: I64, count: I64, result: I64) => { carry: I32; overflow: I32 },
): Instruction {
  return {
    name,
    forms: digits.flatMap(shiftForms),
    build(u, dst, amount) {
      const count = countOf(u, amount);
      const { old, result } = u.modify(dst, (a) => meaning(u, a, count));
      u.flags.when(count.ne(0), () => {
        const f = flags(u, old, count, result);
        u.flags.explicit(u.width, result, f.carry, f.overflow);
      });
    },
  };
}

/** A rotate: changes CF and OF only. */
function rotate(
  name: string,
  digit: number,
  meaning: (u: Semantics, a: I64, count: I64) => I64,
  flags: (u: Semantics, a: I64, count: I64, result: I64) => { carry: I32; overflow: I32 },
): Instruction {
  return {
    name,
    forms: shiftForms(digit),
    build(u, dst, amount) {
      const count = countOf(u, amount);
      const { old, result } = u.modify(dst, (a) => meaning(u, a, count));
      u.flags.when(count.ne(0), () => {
        const f = flags(u, old, count, result);
        u.flags.setCarryOverflow(f.carry, f.overflow);
      });
    },
  };
}

/** Rotates through CF by count modulo (width + 1); a count of 0 changes nothing. */
function rotateThroughCarry(name: string, digit: number, left: boolean): Instruction {
  return {
    name,
    forms: shiftForms(digit),
    build(u, dst, amount) {
      const { width } = u;
      const raw = countOf(u, amount);
      const count = u.let(width < 32 ? raw.remU(width + 1) : raw);
      const carry = u.let(u.flags.carry().extendU());
      const { old, result } = u.modify(dst, (a) => {
        const moved = left
          ? a
              .shl(count)
              .or(carry.shl(count.sub(1)))
              .or(a.shrU(I64.of(width).sub(count)).shrU(1))
          : a
              .shrU(count)
              .or(carry.shl(I64.of(width).sub(count)))
              .or(a.shl(I64.of(width).sub(count)).shl(1));
        return count.eqz().select(a, moved);
      });
      u.flags.when(count.ne(0), () => {
        const out = u.let(left ? bitAt(old, I64.of(width).sub(count)) : bitAt(old, count.sub(1)));
        const overflow = left ? top(width, result).xor(out) : top(width, result).xor(bitAt(result, width - 2));
        u.flags.setCarryOverflow(out, overflow);
      });
    },
  };
}

const shifts: Instruction[] = [
  rotate(
    'ROL',
    0,
    (u, a, count) => rotateLeft(u, a, count),
    (u, _a, _count, r) => ({ carry: u.let(bitAt(r, 0)), overflow: top(u.width, r).xor(bitAt(r, 0)) }),
  ),
  rotate(
    'ROR',
    1,
    (u, a, count) =>
      rotateLeft(
        u,
        a,
        I64.of(u.width)
          .sub(count.and(u.width - 1))
          .and(u.width - 1),
      ),
    (u, _a, _count, r) => ({ carry: u.let(top(u.width, r)), overflow: top(u.width, r).xor(bitAt(r, u.width - 2)) }),
  ),
  rotateThroughCarry('RCL', 2, true),
  rotateThroughCarry('RCR', 3, false),
  shift(
    'SHL',
    [4, 6],
    (_u, a, count) => a.shl(count),
    (u, a, count, r) => {
      // The last bit out: bit width - count of the operand; nothing once the count passes the width.
      const carry = u.let(u.width === 64 ? bitAt(a, I64.of(64).sub(count)) : bitAt(a.shl(count), u.width));
      return { carry, overflow: top(u.width, r).xor(carry) };
    },
  ),
  shift(
    'SHR',
    [5],
    (_u, a, count) => a.shrU(count),
    (u, a, count) => ({ carry: bitAt(a, count.sub(1)), overflow: top(u.width, a) }),
  ),
  shift(
    'SAR',
    [7],
    (u, a, count) => signExtend(u.width, a).shrS(count),
    (u, a, count) => ({ carry: bitAt(signExtend(u.width, a).shrS(count.sub(1)), 0), overflow: I32.of(0) }),
  ),
  ...doubleShift('SHLD', ['0F A4 /r Ev,Gv,Ib', '0F A5 /r Ev,Gv,CL'], true),
  ...doubleShift('SHRD', ['0F AC /r Ev,Gv,Ib', '0F AD /r Ev,Gv,CL'], false),
];

function rotateLeft(u: Semantics, a: I64, count: I64): I64 {
  const { width } = u;
  if (width === 64) return a.rotl(count);
  if (width === 32) return a.wrap().rotl(count.wrap()).extendU();
  const n = u.let(count.and(width - 1));
  return a.shl(n).or(a.shrU(I64.of(width).sub(n)));
}

/** Bits come in from the second operand. For 16-bit operands a count above 16 goes on into the first again, as the hardware does. */
function doubleShift(name: string, forms: readonly string[], left: boolean): Instruction[] {
  return [
    {
      name,
      forms,
      build(u, dst, src, amount) {
        const { width } = u;
        const count = u.let((amount.kind === 'i' ? u.immediate() : u.read(amount, 8)).and(width === 64 ? 63 : 31));
        const b = u.let(u.read(src));
        const { old, result } = u.modify(dst, (a) => {
          const rest = I64.of(width).sub(count);
          const wide = width === 16;
          const moved = left
            ? wide
              ? a.shl(32).or(b.shl(16)).or(a).shl(count).shrU(32)
              : a.shl(count).or(b.shrU(rest))
            : wide
              ? a.or(b.shl(16)).or(a.shl(32)).shrU(count)
              : a.shrU(count).or(b.shl(rest));
          return count.eqz().select(a, moved);
        });
        u.flags.when(count.ne(0), () => {
          const carry = left
            ? width === 64
              ? bitAt(old, I64.of(64).sub(count))
              : bitAt(
                  width === 16 ? old.shl(32).or(b.shl(16)).or(old).shl(count) : old.shl(count),
                  width === 16 ? 48 : 32,
                )
            : bitAt(width === 16 ? old.or(b.shl(16)).or(old.shl(32)) : old, count.sub(1));
          u.flags.explicit(width, result, carry, top(width, result).xor(top(width, old)));
        });
      },
    },
  ];
}

export const shiftGroup: InstructionGroup = { instructions: shifts };
