import { type Address, PAIRS16 } from './encoder.ts';
import { Mode, REGIONS } from './layout.ts';
import type { MachineState } from './machine-state.ts';
import type { Random } from './random.ts';

/** A place for a memory operand. */
export interface Target {
  readonly va: bigint;
  /** The place is such that an access may fault. */
  readonly faults: boolean;
}

const [DATA, EDGE, READ_ONLY, STACK, UPPER, HIGH] = REGIONS;

/** Where to let an access of `size` bytes go: mostly to plain memory, often enough to each boundary. */
export function chooseTarget(random: Random, size: number, mode: Mode): Target {
  const choice = random.below(100);
  const inside = (region: { at: number; size: number }): bigint => {
    let offset = random.between(64, region.size - size - 64);
    if (random.chance(0.7)) offset &= ~15;
    return BigInt(region.at + offset);
  };
  /** So that the access has at least one byte on each side of `boundary`. */
  const across = (boundary: number): bigint => BigInt(boundary - (size > 1 ? random.between(1, size - 1) : 1));
  const long = mode === Mode.long64;
  if (choice < 52) return { va: inside(DATA), faults: false };
  if (choice < 60) return { va: inside(long ? HIGH : UPPER), faults: false };
  if (choice < 66) return { va: inside(UPPER), faults: false };
  if (choice < 72) return { va: across(DATA.at + 0x1000), faults: false };
  if (choice < 75) return { va: BigInt(DATA.at + DATA.size - size), faults: false }; // the last bytes before an unmapped page
  if (choice < 80) return { va: across(DATA.at + DATA.size), faults: true };
  if (choice < 83) return { va: across(DATA.at), faults: true }; // begins in an unmapped page
  if (choice < 87) return { va: inside(READ_ONLY), faults: true };
  if (choice < 91) return { va: across(READ_ONLY.at), faults: true };
  if (choice < 93) return { va: inside({ at: EDGE.at - 0x1000, size: 0x1000 }), faults: true };
  if (choice < 95 || !long) return { va: inside(STACK), faults: false };
  if (choice < 97)
    return {
      va: random.pick([0x8000_0000_0000n, 0x7fff_ffff_ffffn, -0x8000_0000_0000n, -1n, -0x8000_0000_0001n]),
      faults: true,
    };
  return { va: BigInt.asUintN(64, (random.u64() | 0x4000_0000_0000_0000n) & 0x7fff_ffff_ffff_ffffn), faults: true };
}

export interface Placed {
  readonly address: Address;
  readonly addressSize: 64 | 32 | 16;
  readonly segment: number | undefined;
}

/**
 * Finds a way to address `target` and sets registers (and, with an FS or GS override, the segment base) accordingly. Intermediate values are arbitrary:
 * base and index may be any 64-bit numbers as long as the sum is right.
 */
export function placeOperand(
  random: Random,
  state: MachineState,
  target: Target,
  mode: Mode,
  locked: ReadonlySet<number>,
): Placed {
  const long = mode === Mode.long64;
  const narrow = long && target.va < 0x1_0000_0000n && target.va >= 0n && random.chance(0.12);
  if (!long && random.chance(0.08)) return placeOperand16(random, state, target, locked);
  const addressSize = long && !narrow ? 64 : 32;
  let segment: number | undefined;
  let rest = target.va;
  // AMD also refuses an offset that is not canonical when base and offset together are; so no bases for addresses up there.
  if (random.chance(0.12) && target.va >= 0n && target.va < 0x8000_0000_0000n) {
    segment = random.chance(0.75) ? random.pick([4, 5]) : random.pick(long ? [0, 1, 2, 3] : [2, 3]);
    if (segment >= 4) {
      let base = long
        ? BigInt(random.pick([0x1000, 0x1fff_f000, 0x7000_0000_0000, 0xffff_8000]))
        : BigInt(random.u32());
      if (narrow && base > target.va) base = 0x1000n;
      if (segment === 4) state.fsBase = base;
      else state.gsBase = base;
      rest = target.va - base;
    }
  }
  rest = BigInt.asIntN(64, rest);
  const registers = Array.from({ length: long ? 16 : 8 }, (_, i) => i).filter((n) => !locked.has(n) && n !== 4);
  const disp = (): number =>
    random.pick([0, 0, 1, -1, 127, -128, 128, -129, 0x1234, -0x1234, 0x7fff_ffff, -0x8000_0000, random.u32() | 0]);
  /** Sets a register so that `scaled` × 2^scale of it gives the low bits of `value`; the remainder is returned. */
  const set = (register: number, value: bigint): void => {
    if (!long) state.setGpr(register, BigInt.asUintN(32, value));
    else if (addressSize === 32) state.setGpr(register, BigInt.asUintN(32, value) | (BigInt(random.u32()) << 32n));
    else state.setGpr(register, BigInt.asUintN(64, value));
  };
  const signed32 = (v: bigint): boolean => v >= -0x8000_0000n && v < 0x8000_0000n;
  const small = addressSize === 32 ? BigInt.asIntN(32, rest) : rest;
  const shape = random.below(10);
  if (shape === 0 && signed32(small)) {
    return { address: { base: -1, index: -1, scale: 0, disp: Number(small) }, addressSize, segment };
  }
  if (shape === 1 && long && addressSize === 64 && segment === undefined && rest >= 0n && rest < 0x8000_0000n) {
    return { address: { base: -1, index: -1, scale: 0, disp: 0, ripTarget: Number(rest) }, addressSize, segment };
  }
  const scale = random.below(4);
  if (shape <= 3 && registers.length > 0) {
    // [index * scale + disp32]: the displacement takes the part that the scale cannot reach.
    const index = random.pick(registers);
    const low = Number(BigInt.asUintN(3, rest)) & ((1 << scale) - 1);
    const d = (disp() & ~((1 << scale) - 1)) | low;
    const quotient = BigInt.asIntN(64, rest - BigInt(d)) >> BigInt(scale);
    set(
      index,
      scale > 0 && long && addressSize === 64 && random.chance(0.5)
        ? quotient ^ (random.u64() << BigInt(64 - scale))
        : quotient,
    );
    return { address: { base: -1, index, scale, disp: d }, addressSize, segment };
  }
  const bases = !locked.has(4) && random.chance(0.1) ? [4] : registers;
  if (bases.length === 0) {
    // Every register is spoken for: an absolute address, wherever that leads.
    return { address: { base: -1, index: -1, scale: 0, disp: Number(BigInt.asIntN(32, rest)) }, addressSize, segment };
  }
  const base = random.pick(bases);
  const longDisp = random.chance(0.1);
  if (shape <= 6) {
    const d = disp();
    set(base, rest - BigInt(d));
    return { address: { base, index: -1, scale: 0, disp: d, longDisp }, addressSize, segment };
  }
  const others = registers.filter((n) => n !== base);
  const index = random.chance(0.08) || others.length === 0 ? -1 : random.pick(others);
  const d = disp();
  if (index < 0) {
    set(base, rest - BigInt(d));
  } else {
    set(index, random.chance(0.5) ? random.u64() : BigInt(random.between(-300, 300)));
    const raw = state.gpr(index);
    const value = addressSize === 32 ? BigInt.asUintN(32, raw) : raw;
    set(base, rest - BigInt(d) - (value << BigInt(scale)));
  }
  return { address: { base, index, scale, disp: d, longDisp }, addressSize, segment };
}

/** Sixteen-bit addressing reaches the low 64 KiB only; a segment base carries it to the target. */
function placeOperand16(random: Random, state: MachineState, target: Target, locked: ReadonlySet<number>): Placed {
  const pairs = PAIRS16.filter(([base, index]) => !locked.has(base) && (index < 0 || !locked.has(index)));
  const pair = random.chance(0.85) && pairs.length > 0 ? random.pick(pairs) : undefined;
  // The operand ends below 64 KiB: processors wrap around there in different ways.
  const offset = random.below(0xfd00);
  const segment = random.pick([4, 5]);
  const base = BigInt.asUintN(32, target.va - BigInt(offset));
  if (segment === 4) state.fsBase = base;
  else state.gsBase = base;
  if (!pair)
    return { address: { base: -1, index: -1, scale: 0, disp: (offset << 16) >> 16 }, addressSize: 16, segment };
  const disp = random.pick([0, 1, -1, 127, -128, 0x1234, -0x8000]);
  const longDisp = random.chance(0.1);
  let value = offset - disp;
  const garbage = (v: number): bigint => (BigInt(random.u32() & 0xffff) << 16n) | BigInt(v & 0xffff);
  if (pair[1] >= 0) {
    const index = random.u32() & 0xffff;
    state.setGpr(pair[1], garbage(index));
    value -= index;
  }
  state.setGpr(pair[0], garbage(value));
  return { address: { base: pair[0], index: pair[1], scale: 0, disp, longDisp }, addressSize: 16, segment };
}
