import type { Piece } from './case-codec.ts';
import { CODE, imageOffset, Mode, REGIONS, STACK_TOP } from './layout.ts';
import type { MachineState } from './machine-state.ts';
import type { Random } from './random.ts';
import { SHIFT_COUNTS } from './values.ts';

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

/**
 * Random states are useless for some instructions: a random divisor overflows, a random count is out of range, a random return address faults. A hint
 * makes the interesting cases likely. `prepare` runs before the memory operand gets its place, `finish` after it.
 */
export interface Hint {
  readonly names: RegExp;
  readonly prepare?: (d: Draft) => void;
  readonly finish?: (d: Draft) => void;
}

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;

const [DATA, , , STACK] = REGIONS;

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
function selector(d: Draft): bigint {
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
const flagsImage = (d: Draft): bigint => (BigInt(d.random.u32()) & 0x0020_0ed5n) | 0x202n;

const lock = (d: Draft, ...registers: number[]): void => registers.forEach((r) => d.locked.add(r));

/** A value into the operand that ModRM.rm names. */
function setOperand(d: Draft, value: bigint): void {
  if (d.target !== undefined) patch(d, d.target, littleEndian(value, d.size));
  else if (d.rm !== undefined) d.state.setGpr(d.rm, BigInt.asUintN(64, value));
}

function stackPointer(d: Draft, around: number): void {
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
function quietStack(d: Draft): void {
  lock(d, RSP);
  d.state.setGpr(RSP, BigInt(STACK_TOP - 0x800 + d.random.between(-64, 64)));
  if (d.immediates.length > 0) d.immediates[0] = BigInt(d.random.below(256));
}

/** Pointers and count of the string instructions. */
function stringRegisters(d: Draft): void {
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

export const HINTS: readonly Hint[] = [
  {
    // Linux lets user programs use 3 (INT3), 4 (INTO) and 80h (a system call!); all others are refused.
    names: /^INT$/,
    prepare: (d) => {
      let vector = d.random.below(256);
      while (vector === 3 || vector === 4 || vector === 0x80) vector = d.random.below(256);
      d.immediates[0] = BigInt(vector);
    },
  },
  {
    names: /^(SHL|SHR|SAR|SAL|ROL|ROR|RCL|RCR)/,
    prepare: (d) => {
      if (d.immediates.length > 0) d.immediates[0] = BigInt(d.random.pick(SHIFT_COUNTS));
      else {
        lock(d, RCX);
        d.state.setGprByte(RCX, d.random.pick(SHIFT_COUNTS));
      }
    },
  },
  {
    // With 16-bit operands a count above 16 leaves destination and flags undefined (SDM Vol. 2B, "SHLD").
    names: /^SH[LR]D$/,
    prepare: (d) => {
      let count = d.random.pick(SHIFT_COUNTS);
      if (d.width === 16) while ((count & 31) > 16) count = d.random.pick(SHIFT_COUNTS);
      if (d.immediates.length > 0) d.immediates[0] = BigInt(count);
      else {
        lock(d, RCX);
        d.state.setGprByte(RCX, count);
      }
    },
    finish: (d) => {
      if (d.width !== 16 || d.immediates.length > 0) return;
      while ((d.state.view.getUint8(8 * RCX) & 31) > 16) d.state.setGprByte(RCX, d.random.pick(SHIFT_COUNTS));
    },
  },
  {
    // The bit offset of a register operand reaches beyond the addressed word.
    names: /^BT[SRC]?$/,
    prepare: (d) => {
      if (d.immediates.length > 0) d.immediates[0] = BigInt(d.random.below(256));
      else {
        lock(d, d.reg);
        const offset = d.random.chance(0.95) ? d.random.between(-300, 300) : d.random.u32();
        d.state.setGpr(d.reg, BigInt.asUintN(d.mode === Mode.long64 ? 64 : 32, BigInt(offset)));
        if (d.width === 16 && d.random.chance(0.5))
          d.state.setGpr(d.reg, BigInt(d.random.u32()) * 0x1_0000n + BigInt(offset & 0x3ff));
      }
    },
  },
  {
    names: /^(DIV|IDIV)$/,
    prepare: (d) => lock(d, RAX, RDX),
    finish: (d) => {
      const { random, state } = d;
      const choice = random.below(8);
      if (choice >= 6) return;
      const bits = BigInt(8 * d.size);
      const sign = (state.gpr(RAX) >> (bits - 1n)) & 1n;
      if (d.size === 1) {
        const ah = choice < 3 ? sign * 0xff00n : BigInt(random.below(4)) << 8n;
        state.setGpr(RAX, (state.gpr(RAX) & ~0xff00n) | ah);
      } else
        state.setGpr(
          RDX,
          choice < 2 ? 0n : choice < 4 ? BigInt.asUintN(64, -sign) : BigInt.asUintN(64, BigInt(random.between(-3, 3))),
        );
      if (random.chance(0.3)) setOperand(d, BigInt(random.between(-10, 10)));
    },
  },
  {
    names: /^CMPXCHG$/,
    prepare: (d) => lock(d, RAX),
    finish: (d) => {
      if (d.random.chance(0.6)) setOperand(d, d.state.gpr(RAX));
    },
  },
  {
    names: /^CMPXCHG(8B|16B)/,
    prepare: (d) => lock(d, RAX, RCX, RDX, RBX),
    finish: (d) => {
      if (d.target === undefined || !d.random.chance(0.6)) return;
      const half = d.width === 64 ? 8 : 4;
      patch(d, d.target, littleEndian(d.state.gpr(RAX), half));
      patch(d, d.target + BigInt(half), littleEndian(d.state.gpr(RDX), half));
    },
  },
  { names: /^(MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)[BWDQ]?$/, prepare: stringRegisters },
  {
    names: /^XLAT/,
    prepare: (d) => {
      lock(d, RAX, RBX);
      d.state.setGpr(RBX, BigInt(DATA.at + d.random.pick([0x100, 0xf80, 0x1f80])));
    },
  },
  {
    names: /^MASKMOV/,
    prepare: (d) => {
      lock(d, RDI);
      d.state.setGpr(RDI, BigInt(DATA.at + d.random.pick([0x100, 0x108, 0xff8, 0x1ff0, 0x1ff8])));
    },
  },
  {
    names: /^(PUSH|POP$|POP[AF_]|CALL(_indirect)?$|RET$|LEAVE|ENTER)/,
    prepare: (d) => {
      lock(d, RSP);
      stackPointer(d, 24);
    },
  },
  {
    names: /^(CALL|JMP)_indirect$/,
    finish: (d) => {
      const to = codeAddress(d.random);
      if (d.target !== undefined) patch(d, d.target, littleEndian(to, 8));
      else if (d.rm !== undefined) d.state.setGpr(d.rm, to);
    },
  },
  {
    names: /^RET$/,
    finish: (d) => {
      const sp = d.state.gpr(RSP);
      patch(
        d,
        d.mode === Mode.compat32 ? BigInt.asUintN(32, sp) : BigInt.asIntN(64, sp),
        littleEndian(codeAddress(d.random), d.mode === Mode.compat32 ? 4 : 8),
      );
    },
  },
  {
    names: /^(JMP_far|CALL_far|L[DESFG]S)$/,
    prepare: quietStack,
    finish: (d) => {
      if (d.target === undefined) return;
      patch(d, d.target, littleEndian(codeAddress(d.random), d.width / 8));
      patch(d, d.target + BigInt(d.width / 8), littleEndian(selector(d), 2));
    },
  },
  {
    names: /^RET_far$/,
    prepare: quietStack,
    finish: (d) => {
      const sp = d.state.gpr(RSP);
      patch(d, sp, littleEndian(codeAddress(d.random), d.width / 8));
      patch(d, sp + BigInt(d.width / 8), littleEndian(selector(d), 2));
    },
  },
  {
    names: /^IRET/,
    prepare: quietStack,
    finish: (d) => {
      const { random } = d;
      const frame = [
        codeAddress(random),
        selector(d),
        flagsImage(d),
        BigInt(STACK_TOP + random.between(-64, 64)),
        random.chance(0.9) ? 0x2bn : selector(d),
      ];
      frame.forEach((value, i) =>
        patch(d, d.state.gpr(RSP) + BigInt(i * (d.width / 8)), littleEndian(value, d.width / 8)),
      );
    },
  },
  {
    names: /^(MOV_to_segment|LAR|LSL|VERR|VERW)$/,
    finish: (d) => setOperand(d, selector(d)),
  },
  {
    names: /^POP_/,
    finish: (d) => patch(d, d.state.gpr(RSP), littleEndian(selector(d), 2)),
  },
  {
    // Only a few flags may change: no single stepping, no alignment checks, no nested-task games.
    names: /^POPF/,
    finish: (d) => {
      const sp = d.state.gpr(RSP);
      patch(d, sp, littleEndian(flagsImage(d), d.width / 8));
    },
  },
  {
    names: /^(ENTER|LEAVE)$/,
    prepare: (d) => {
      lock(d, RBP);
      d.state.setGpr(RBP, BigInt(STACK_TOP + d.random.between(-0x400, 0x400)));
      if (d.immediates.length > 1) {
        d.immediates[0] = BigInt(d.random.pick([0, 8, 16, 256, 0x7ff, 0xffff]));
        d.immediates[1] = BigInt(d.random.pick([0, 0, 1, 2, 3, 31, 32, 33, 255]));
      }
    },
  },
  {
    names: /^(LOOP|JCXZ|JECXZ|JRCXZ)/,
    prepare: (d) => {
      if (d.random.chance(0.7))
        d.state.setGpr(RCX, d.random.pick([0n, 1n, 2n, 0x1_0000_0000n, 0x1_0000_0001n, 0x1_0000n, 0xffff_0000n]));
    },
  },
  {
    names: /^(PCMPESTR[IM])$/,
    prepare: (d) => {
      for (const r of [RAX, RDX])
        if (d.random.chance(0.8)) d.state.setGpr(r, BigInt.asUintN(64, BigInt(d.random.between(-20, 20))));
    },
  },
  {
    // MXCSR: bits beyond its mask give #GP.
    names: /^LDMXCSR$/,
    finish: (d) => {
      if (d.target !== undefined)
        patch(d, d.target, littleEndian(BigInt(d.random.chance(0.9) ? d.random.u32() & 0xffff : d.random.u32()), 4));
    },
  },
  {
    names: /^FX?RSTOR/,
    finish: (d) => {
      if (d.target !== undefined && d.size === 512 && d.random.chance(0.9))
        patch(d, d.target + 24n, littleEndian(BigInt(d.random.u32() & 0xffff), 4));
    },
  },
  {
    // A base that is not canonical gives #GP.
    names: /^WR[FG]SBASE$/,
    finish: (d) => {
      if (d.rm !== undefined && d.random.chance(0.9))
        d.state.setGpr(
          d.rm,
          d.random.pick([0n, 0x1234n, 0x7fff_ffff_f000n, 0x8765_4321n, 0xffff_8000_0000_0000n, 0x8000_0000_0000n]),
        );
    },
  },
];

export function hintsFor(name: string): readonly Hint[] {
  return HINTS.filter((h) => h.names.test(name));
}
