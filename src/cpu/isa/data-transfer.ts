import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { Exit, Vector } from '../exits.ts';
import { Flag, signExtend, STATUS_FLAGS, truncate } from '../flags.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { SegmentOperation } from '../segmentation.ts';
import { Op, S } from '../state-layout.ts';

const CONDITIONS = [
  'O',
  'NO',
  'B',
  'NB',
  'Z',
  'NZ',
  'BE',
  'NBE',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'NL',
  'LE',
  'NLE',
] as const;
const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');

/** A selector loaded from a register field that numbers it. */
const selectorAt = (u: Semantics, segment: I32): I32 => u.vcpu.add(segment.shl(1)).load16U(S.selector);

const reverse = (u: Semantics, bits: number, value: I64): I64 => {
  let out = I64.of(0);
  const v = u.let(value);
  for (let byte = 0; byte < bits / 8; byte++)
    out = out.or(
      v
        .shrU(byte * 8)
        .and(0xff)
        .shl(bits - 8 - byte * 8),
    );
  return out;
};

const moves: Instruction[] = [
  {
    name: 'MOV',
    common: true,
    forms: [
      '88 /r Eb,Gb',
      '89 /r Ev,Gv',
      '8A /r Gb,Eb',
      '8B /r Gv,Ev',
      'A0 AL,Ob',
      'A1 rAX,Ov',
      'A2 Ob,AL',
      'A3 Ov,rAX',
      'B0+r Zb,Ib',
      'B8+r Zv,Iv',
      'C6 /0 Eb,Ib',
      'C7 /0 Ev,Iz',
    ],
    build: (u, dst, src) => u.write(dst, u.read(src)),
  },
  { name: 'MOVNTI', forms: ['NP 0F C3 /r My,Gy'], build: (u, dst, src) => u.write(dst, u.read(src)) },
  { name: 'MOVZX', forms: ['0F B6 /r Gv,Eb', '0F B7 /r Gv,Ew'], build: (u, dst, src) => u.write(dst, u.read(src)) },
  {
    name: 'MOVSX',
    forms: ['0F BE /r Gv,Eb', '0F BF /r Gv,Ew', '63 /r Gv,Ez o64'],
    build: (u, dst, src) => u.write(dst, u.readSigned(src)),
  },
  {
    name: 'MOVBE',
    forms: ['NFx 0F 38 F0 /r Gv,Mv', 'NFx 0F 38 F1 /r Mv,Gv'],
    build: (u, dst, src) => u.write(dst, reverse(u, dst.bits, u.read(src))),
  },
  {
    name: 'BSWAP',
    forms: ['0F C8+r Zv'],
    build: (u, dst) => u.write(dst, u.width === 16 ? I64.of(0) : reverse(u, u.width, u.read(dst))),
  },
  {
    name: 'LEA',
    common: true,
    forms: ['8D /r Gv,M'],
    build: (u, dst, src) => u.write(dst, u.address(src)),
  },
  {
    name: 'XCHG',
    forms: ['86 /r Eb,Gb', '87 /r Ev,Gv', '90+r rAX,Zv'],
    lock: true,
    build(u, dst, src) {
      if (dst.kind === 'm') u.impliedLock(); // SDM Vol. 2D, "XCHG": LOCK is implied with a memory operand
      const b = u.let(u.read(src));
      const { old } = u.modify(dst, () => b);
      u.write(src, old);
    },
  },
  {
    name: 'XADD',
    forms: ['0F C0 /r Eb,Gb', '0F C1 /r Ev,Gv'],
    lock: true,
    build(u, dst, src) {
      const b = u.let(u.read(src));
      if (dst.kind === 'r') {
        // The destination is written last, and so wins when both are the same register.
        const a = u.let(u.read(dst));
        const sum = u.let(truncate(dst.bits, a.add(b)));
        u.write(src, a);
        u.write(dst, sum);
        u.flags.add(dst.bits, a, b, sum);
        return;
      }
      const { old, result } = u.modify(dst, (a) => a.add(b));
      u.write(src, old);
      u.flags.add(dst.bits, old, b, result);
    },
  },
  {
    name: 'CMPXCHG',
    forms: ['0F B0 /r Eb,Gb', '0F B1 /r Ev,Gv'],
    lock: true,
    build(u, dst, src) {
      const expected = u.let(u.gpr(Gpr.rax, dst.bits));
      const b = u.let(u.read(src));
      if (dst.kind === 'r') {
        const a = u.let(u.read(dst));
        u.code.if(
          a.eq(expected),
          () => u.write(dst, b),
          () => {
            u.setGpr(Gpr.rax, a, dst.bits);
          },
        );
        u.flags.sub(dst.bits, expected, a, u.let(truncate(dst.bits, expected.sub(a))));
        return;
      }
      const { old } = u.modify(dst, (a) => a.eq(expected).select(b, a));
      u.code.if(old.ne(expected), () => u.setGpr(Gpr.rax, old, dst.bits));
      u.flags.sub(dst.bits, expected, old, u.let(truncate(dst.bits, expected.sub(old))));
    },
  },
  {
    name: 'CMPXCHG8B',
    forms: ['0F C7 /1 Mq W0'],
    lock: true,
    build(u, dst) {
      const pair = (high: number, low: number): I64 => u.let(u.gpr(high, 32).shl(32).or(u.gpr(low, 32)));
      const expected = pair(Gpr.rdx, Gpr.rax);
      const replacement = pair(Gpr.rcx, Gpr.rbx);
      const { old } = u.modifyMemory(u.address(dst), 64, (a) => a.eq(expected).select(replacement, a));
      const equal = u.let(old.eq(expected));
      u.flags.setZero(equal);
      u.code.if(equal.eqz(), () => {
        u.setGpr(Gpr.rax, old, 32);
        u.setGpr(Gpr.rdx, old.shrU(32), 32);
      });
    },
  },
  {
    name: 'CMPXCHG16B',
    forms: ['0F C7 /1 Mdq W1'],
    lock: true,
    build(u, dst) {
      const va = u.address(dst);
      u.requireAligned(va, 16);
      // WebAssembly has no 128-bit atomic: among themselves these are atomic, and nothing else that is wide enough is.
      u.writePointer(va, 16, (host) =>
        u.locked(() => {
          const lo = u.let(host.load64());
          const hi = u.let(host.load64(8));
          const equal = u.let(lo.eq(u.gpr(Gpr.rax)).and(hi.eq(u.gpr(Gpr.rdx))));
          u.code.if(
            equal,
            () => {
              u.code.store64(host, u.gpr(Gpr.rbx));
              u.code.store64(host, u.gpr(Gpr.rcx), 8);
            },
            () => {
              u.setGpr(Gpr.rax, lo);
              u.setGpr(Gpr.rdx, hi);
            },
          );
          u.flags.setZero(equal);
        }),
      );
    },
  },
];

const conditional: Instruction[] = CONDITIONS.flatMap((name, cc): Instruction[] => [
  {
    name: `CMOV${name}`,
    forms: [`0F ${hex(0x40 + cc)} /r Gv,Ev`],
    build(u, dst, src) {
      // The source is read whatever the condition; a 32-bit destination is zero-extended in any case.
      const b = u.let(u.read(src));
      u.write(dst, u.flags.condition(cc).select(b, u.read(dst)));
    },
  },
  {
    name: `SET${name}`,
    forms: [`0F ${hex(0x90 + cc)} /r Eb`],
    build: (u, dst) => u.write(dst, u.flags.condition(cc).extendU()),
  },
]);

const SEGMENT_PUSH = [
  ['ES', 0, '06', '07'],
  ['CS', 1, '0E', ''],
  ['SS', 2, '16', '17'],
  ['DS', 3, '1E', '1F'],
] as const;

const stack: Instruction[] = [
  {
    name: 'PUSH',
    stack: true,
    forms: ['50+r Zv d64', '68 Iz d64', '6A Ib d64', 'FF /6 Ev d64'],
    perMode: true,
    build: (u, src) => u.push(u.width, u.read(src)),
  },
  {
    name: 'POP',
    stack: true,
    forms: ['58+r Zv d64', '8F /0 Ev d64'],
    perMode: true,
    build(u, dst) {
      const value = u.top(u.width);
      if (dst.kind === 'm') {
        u.write(dst, value);
        u.moveStack(u.width / 8);
      } else {
        // POP RSP leaves the popped value in RSP.
        u.moveStack(u.width / 8);
        u.write(dst, value);
      }
    },
  },
  ...[
    ...SEGMENT_PUSH.map(([n, i, push]) => [n, i, `${push} i64`] as const),
    ['FS', 4, '0F A0 d64'] as const,
    ['GS', 5, '0F A8 d64'] as const,
  ].map(([name, segment, form]): Instruction => ({
    name: `PUSH_${name}`,
    stack: true,
    forms: [form],
    perMode: true,
    build: (u) => u.push(u.width, u.vcpu.load16U(S.selector + segment * 2).extendU()),
  })),
  ...[
    ...SEGMENT_PUSH.filter(([, , , pop]) => pop !== '').map(([n, i, , pop]) => [n, i, `${pop} i64`] as const),
    ['FS', 4, '0F A1 d64'] as const,
    ['GS', 5, '0F A9 d64'] as const,
  ].map(([name, segment, form]): Instruction => ({
    name: `POP_${name}`,
    stack: true,
    forms: [form],
    perMode: true,
    ends: true,
    build(u) {
      const selector = u.top(u.width).wrap().and(0xffff);
      u.exit(Exit.Segment, u.rip(), SegmentOperation.pop, segment, selector, u.width / 8);
      u.end();
    },
  })),
  {
    name: 'PUSHA',
    stack: true,
    forms: ['60 i64'],
    perMode: true,
    build(u) {
      const sp = u.let(u.stackPointer());
      const bytes = u.width / 8;
      u.probeWrite(u.stackAddress(truncate(32, sp.sub(8 * bytes))), 8 * bytes);
      for (let n = 0; n < 8; n++)
        u.store(u.width, u.stackAddress(truncate(32, sp.sub((n + 1) * bytes))), u.gpr(n, u.width));
      u.moveStack(-8 * bytes);
    },
  },
  {
    name: 'POPA',
    stack: true,
    forms: ['61 i64'],
    perMode: true,
    build(u) {
      const bytes = u.width / 8;
      const values = Array.from({ length: 8 }, (_, n) => u.top(u.width, (7 - n) * bytes));
      values.forEach((value, n) => {
        if (n !== Gpr.rsp) u.setGpr(n, value, u.width);
      });
      u.moveStack(8 * bytes);
    },
  },
  {
    name: 'ENTER',
    stack: true,
    forms: ['C8 Iw,Ib d64'],
    perMode: true,
    build(u) {
      const bytes = u.width / 8;
      const level = u.let(u.immediate2().and(31));
      const frame = u.let(truncate(u.mode, u.stackPointer().sub(bytes)));
      const sp = u.code.variable(ValType.i64, frame);
      u.store(u.width, u.stackAddress(frame), u.gpr(Gpr.rbp, u.width));
      u.code.if(level.ne(0), () => {
        const bp = u.code.variable(ValType.i64, u.gpr(Gpr.rbp, u.mode));
        const n = u.code.variable(ValType.i32, level.sub(1));
        u.code.while(
          () => n.get.ne(0),
          () => {
            bp.set(truncate(u.mode, bp.get.sub(bytes)));
            sp.set(truncate(u.mode, sp.get.sub(bytes)));
            u.store(u.width, u.stackAddress(sp.get), u.load(u.width, u.stackAddress(bp.get)));
            n.set(n.get.sub(1));
          },
        );
        sp.set(truncate(u.mode, sp.get.sub(bytes)));
        u.store(u.width, u.stackAddress(sp.get), frame);
      });
      const end = u.let(truncate(u.mode, sp.get.sub(u.immediate().and(0xffff))));
      // The new top of the stack is checked for writing before anything changes (SDM Vol. 2A, "ENTER").
      u.probeWrite(u.stackAddress(end), 1);
      u.setGpr(Gpr.rbp, frame, u.width === 16 ? 16 : u.mode);
      u.setGpr(Gpr.rsp, end, u.mode);
    },
  },
  {
    name: 'LEAVE',
    stack: true,
    forms: ['C9 d64'],
    perMode: true,
    build(u) {
      const frame = u.let(u.gpr(Gpr.rbp, u.mode));
      const value = u.load(u.width, u.stackAddress(frame));
      u.setGpr(Gpr.rsp, frame.add(u.width / 8), u.mode);
      u.setGpr(Gpr.rbp, value, u.width);
    },
  },
  {
    name: 'PUSHF',
    stack: true,
    forms: ['9C d64'],
    perMode: true,
    build: (u) =>
      u.push(
        u.width,
        u.flags
          .image()
          .and(~(Flag.RF | Flag.VM))
          .extendU(),
      ),
  },
  {
    name: 'POPF',
    stack: true,
    forms: ['9D d64'],
    perMode: true,
    ends: true,
    build(u) {
      // At CPL 3 IF and IOPL stay as they are (SDM Vol. 2B, "POPF").
      const image = u.top(u.width).wrap();
      const changed =
        (STATUS_FLAGS | Flag.TF | Flag.DF | Flag.NT | (u.width === 16 ? 0 : Flag.AC | Flag.ID)) & ~STATUS_FLAGS;
      u.moveStack(u.width / 8);
      const i = u.let(image);
      u.flags.setStatus(i);
      const kept = u.width === 16 ? ~changed : ~changed & ~Flag.RF;
      u.code.store32(u.vcpu, u.vcpu.load32(S.flagsRest).and(kept).or(i.and(changed)), S.flagsRest);
      // `run` looks at TF when it is entered, so leave it: the trap comes after the next instruction.
      u.code.if(i.and(Flag.TF), () => u.exit(Exit.Interrupt, u.nextRip()));
      u.jump(u.nextRip());
      u.end();
    },
  },
];

/** CBW/CWDE/CDQE, CWD/CDQ/CQO, flags in AH, XLAT. */
const conversions: Instruction[] = [
  {
    name: 'CBW',
    forms: ['98'],
    build: (u) => u.setGpr(Gpr.rax, signExtend(u.width / 2, u.gpr(Gpr.rax, u.width / 2)), u.width),
  },
  {
    name: 'CWD',
    forms: ['99'],
    build: (u) => u.setGpr(Gpr.rdx, signExtend(u.width, u.gpr(Gpr.rax, u.width)).shrS(63), u.width),
  },
  { name: 'LAHF', forms: ['9F'], build: (u) => u.setGprHigh8(Gpr.rax, u.flags.status().or(2).extendU()) },
  {
    name: 'SAHF',
    forms: ['9E'],
    build(u) {
      const ah = u.gprHigh8(Gpr.rax).wrap();
      u.flags.setStatus(ah.and(0xd5).or(u.flags.overflow().shl(11)));
    },
  },
  {
    name: 'XLAT',
    forms: ['D7'],
    perAddress: true,
    build(u) {
      const offset = truncate(u.addressSize, u.gpr(Gpr.rbx).add(u.gpr(Gpr.rax, 8)));
      u.setGpr(Gpr.rax, u.load(8, offset.add(u.addressPart(Op.segment))), 8);
    },
  },
];

const flagOperations: Instruction[] = [
  { name: 'CLC', forms: ['F8'], build: (u) => u.flags.setCarry(I32.of(0)) },
  { name: 'STC', forms: ['F9'], build: (u) => u.flags.setCarry(I32.of(1)) },
  { name: 'CMC', forms: ['F5'], build: (u) => u.flags.setCarry(u.flags.carry().xor(1)) },
  {
    name: 'CLD',
    forms: ['FC'],
    build: (u) => u.code.store32(u.vcpu, u.vcpu.load32(S.flagsRest).and(~Flag.DF), S.flagsRest),
  },
  {
    name: 'STD',
    forms: ['FD'],
    build: (u) => u.code.store32(u.vcpu, u.vcpu.load32(S.flagsRest).or(Flag.DF), S.flagsRest),
  },
];

const segments: Instruction[] = [
  {
    name: 'MOV_from_segment',
    forms: ['8C /r Ev,Sw'],
    build(u, dst) {
      const n = u.let(u.op.load16U(Op.b));
      u.raiseIf(n.gtU(5), Vector.UD);
      const selector = selectorAt(u, n).extendU();
      if (dst.kind === 'm') u.store(16, u.address(dst), selector);
      else u.write(dst, selector);
    },
  },
  {
    name: 'MOV_to_segment',
    forms: ['8E /r Sw,Ew'],
    ends: true,
    build(u, _dst, src) {
      const n = u.let(u.op.load16U(Op.a));
      u.raiseIf(n.gtU(5).or(n.eq(1)), Vector.UD);
      u.exit(Exit.Segment, u.rip(), SegmentOperation.load, n, u.read(src).wrap());
      u.end();
    },
  },
];

export const dataTransfer: InstructionGroup = {
  instructions: [...moves, ...conditional, ...stack, ...conversions, ...flagOperations, ...segments],
};
