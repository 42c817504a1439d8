import {
  type Draft,
  DATA,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSP,
  codeAddress,
  flagsImage,
  littleEndian,
  lock,
  patch,
  quietStack,
  selector,
  setOperand,
  stackPointer,
  stringRegisters,
} from './draft.ts';
import { Mode, STACK_TOP } from './layout.ts';
import { SHIFT_COUNTS } from './values.ts';

/**
 * Random states are useless for some instructions: a random divisor overflows, a random count is out of range, a random return address faults. A hint
 * makes the interesting cases likely. `prepare` runs before the memory operand gets its place, `finish` after it.
 */
export interface Hint {
  readonly names: RegExp;
  readonly prepare?: (d: Draft) => void;
  readonly finish?: (d: Draft) => void;
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
