import type { Piece } from './case-codec.ts';
import { CODE, imageOffset, Mode, REGIONS, STACK_TOP } from './layout.ts';
import type { MachineState } from './machine-state.ts';
import type { Random } from './random.ts';

/** What a hint may look at and change while a case takes shape. */
export interface Draft {
  readonly random: Random;
  readonly state: MachineState;
  readonly mode: Mode;
  readonly width: 16 | 32 | 64;
  /** Bytes of the (memory or register) operand named by ModRM.rm */
  readonly size: number;
  readonly patches: Piece[];
  /** General registers that have a duty and are not to be used for addressing. */
  readonly locked: Set<number>;
  /** Linear address of the memory operand once it has a place. */
  target: bigint | undefined;
  /** ModRM fields, when they name registers. */
  reg: number;
  rm: number | undefined;
  low: number;
  /** Immediates in order; a hint may replace them. */
  immediates: bigint[];
  repeat: number;
}

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

export const [DATA, , , STACK] = REGIONS;

/** An address in the code region near which nothing lies but INT3. */
export function codeAddress(random: Random): bigint {
  const choice = random.below(20);
  if (choice === 0) return BigInt(CODE.at + CODE.size); // unmapped
  if (choice === 1) return BigInt(REGIONS[0].at); // mapped, not executable
  if (choice === 2) return random.pick([0x8000_0000_0000n, 0xffff_8000_0000_0000n, 0x7fff_ffff_f000n]);
  return BigInt(
    CODE.at +
      random.pick([random.between(0, 0x700), random.between(0x900, 0xf80), random.between(0x1040, CODE.size - 32)]),
  );
}

export function littleEndian(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number((BigInt.asUintN(64, value) >> BigInt(8 * i)) & 0xffn));
}

/** Bytes into memory at a linear address, as far as it is mapped. */
export function patch(d: Draft, va: bigint, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length;) {
    const at = imageOffset(Number(va) + i);
    if (at === undefined) {
      i++;
      continue;
    }
    let n = 1;
    while (i + n < bytes.length && imageOffset(Number(va) + i + n) === at + n) n++;
    d.patches.push({ at, bytes: bytes.slice(i, i + n) });
    i += n;
  }
}

/** A selector that means the same in Linux's descriptor table and in ours: null, user and kernel segments, an empty entry, beyond the limit, LDT. */
export function selector(d: Draft): bigint {
  const { random } = d;
  if (random.chance(0.6)) return random.pick([0x2bn, 0x33n, 0x23n, 0n]);
  return random.pick([
    0n,
    1n,
    2n,
    3n,
    0x20n,
    0x28n,
    0x29n,
    0x2an,
    0x30n,
    0x08n,
    0x10n,
    0x13n,
    0x18n,
    0x1bn,
    0x63n,
    0x07n,
    0x2fn,
    0x83n,
    0xfffbn,
  ]);
}

/** Flags that a test may load: no single stepping, no alignment checks, no nested tasks. */
export const flagsImage = (d: Draft): bigint => (BigInt(d.random.u32()) & 0x0020_0ed5n) | 0x202n;

export const lock = (d: Draft, ...registers: number[]): void => registers.forEach((r) => d.locked.add(r));

/** A value into the operand that ModRM.rm names. */
export function setOperand(d: Draft, value: bigint): void {
  if (d.target !== undefined) patch(d, d.target, littleEndian(value, d.size));
  else if (d.rm !== undefined) d.state.setGpr(d.rm, BigInt.asUintN(64, value));
}

export function stackPointer(d: Draft, around: number): void {
  const { random } = d;
  const choice = random.below(24);
  let sp = STACK_TOP - 0x800 + random.between(-64, 64) * (random.chance(0.5) ? 8 : 1);
  if (choice === 0) sp = STACK.at + random.between(0, around);
  if (choice === 1) sp = STACK.at + STACK.size - random.between(0, around);
  if (choice === 2) sp = STACK.at + 0x1000 + random.between(-around, around);
  if (choice === 3) sp = REGIONS[2].at + random.between(0, around);
  if (choice === 4 && d.mode === Mode.long64) {
    d.state.setGpr(
      RSP,
      random.pick([0x8000_0000_0000n, 0x8000_0000_0004n, 0xffff_8000_0000_0000n, 0x1_0000_0000n + BigInt(sp)]),
    );
    return;
  }
  d.state.setGpr(RSP, BigInt(sp));
}

/** Far transfers touch the stack in another order on every processor: no faults from there. */
export function quietStack(d: Draft): void {
  lock(d, RSP);
  d.state.setGpr(RSP, BigInt(STACK_TOP - 0x800 + d.random.between(-64, 64)));
  if (d.immediates.length > 0) d.immediates[0] = BigInt(d.random.below(256));
}

/** Pointers and count of the string instructions. */
export function stringRegisters(d: Draft): void {
  const { random, state } = d;
  lock(d, RAX, RCX, RSI, RDI);
  const long = d.mode === Mode.long64;
  const place = (): bigint => {
    const region = random.pick(long ? REGIONS : REGIONS.slice(0, 5));
    const offset = random.chance(0.25)
      ? random.pick([0, region.size, 0x1000]) + random.between(-24, 24)
      : random.between(0x200, region.size - 0x200);
    return BigInt(region.at + offset);
  };
  const source = place();
  let destination = place();
  if (random.chance(0.3)) destination = source + BigInt(random.between(-9, 9)); // overlapping
  const garbage = (): bigint => (long && random.chance(0.2) ? BigInt(random.u32()) << 32n : 0n);
  state.setGpr(RSI, source);
  state.setGpr(RDI, destination);
  state.setGpr(
    RCX,
    BigInt(random.pick([0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100])) | (random.chance(0.1) ? garbage() : 0n),
  );
  if (random.chance(0.01)) state.setGpr(RCX, BigInt(random.u32()));
  if (random.chance(0.4)) state.rflags |= 0x400;
  // Runs of equal bytes, so that repeated comparisons go on for a while.
  const run = new Uint8Array(48).fill(random.chance(0.5) ? 0 : random.u32());
  if (random.chance(0.6)) {
    patch(d, source - 24n, run);
    patch(d, destination - 24n, run);
    const byte = BigInt(run[0] ?? 0);
    state.setGpr(RAX, byte * 0x0101_0101_0101_0101n);
    if (random.chance(0.8))
      patch(
        d,
        (random.chance(0.5) ? source : destination) + BigInt(random.between(-20, 20)),
        Uint8Array.of(random.u32()),
      );
  }
}
