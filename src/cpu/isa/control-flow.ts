import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { type I32, I64 } from '../wasm/value.ts';
import { Exit, Vector } from '../exits.ts';
import { truncate } from '../flags.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { SegmentOperation } from '../segmentation.ts';

const CONDITIONS = [
  'JO',
  'JNO',
  'JB',
  'JNB',
  'JZ',
  'JNZ',
  'JBE',
  'JNBE',
  'JS',
  'JNS',
  'JP',
  'JNP',
  'JL',
  'JNL',
  'JLE',
  'JNLE',
] as const;
const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');

/** The offset and the selector of a far pointer in memory. */
function farPointer(u: Semantics, va: I64): { offset: I64; selector: I32 } {
  const offset = u.load(u.width, va);
  return { offset, selector: u.load(16, va.add(u.width / 8)).wrap() };
}

/** The exit that hands a far transfer to segmentation.ts: detail 1 selector, 2 and 3 the offset, 4 operand size in bits. */
function far(u: Semantics, operation: number, selector: I32 | number, offset: I64): void {
  const target = u.let(offset);
  u.exit(Exit.Segment, u.rip(), operation, selector, target.wrap(), target.shrU(32).wrap(), u.width);
  u.end();
}

const jumps: Instruction[] = [
  ...CONDITIONS.map((name, cc): Instruction => ({
    name,
    forms: [`${hex(0x70 + cc)} Jb f64`, `0F ${hex(0x80 + cc)} Jz f64`],
    perMode: true,
    build: (u) => u.code.if(u.flags.condition(cc), () => u.branch()),
  })),
  {
    name: 'JMP',
    forms: ['EB Jb f64', 'E9 Jz f64'],
    perMode: true,
    ends: true,
    build: (u) => {
      u.branch();
      u.end();
    },
  },
  {
    name: 'JMP_indirect',
    forms: ['FF /4 Ev f64'],
    perMode: true,
    ends: true,
    build: (u, target) => {
      u.jump(u.branchAddress(u.read(target)));
      u.end();
    },
  },
  {
    name: 'CALL',
    stack: true,
    forms: ['E8 Jz f64'],
    perMode: true,
    ends: true,
    build(u) {
      u.push(u.mode, u.nextRip());
      u.branch();
      u.end();
    },
  },
  {
    name: 'CALL_indirect',
    stack: true,
    forms: ['FF /2 Ev f64'],
    perMode: true,
    ends: true,
    build(u, operand) {
      const target = u.let(u.read(operand));
      const below = u.stackAddress(truncate(u.mode, u.stackPointer().sub(u.mode / 8)));
      u.requireCanonical(target, () => u.probeWrite(below, u.mode / 8, true));
      u.push(u.mode, u.nextRip());
      u.jump(target);
      u.end();
    },
  },
  {
    name: 'RET',
    stack: true,
    forms: ['C3 f64', 'C2 Iw f64'],
    perMode: true,
    ends: true,
    build(u, extra) {
      const target = u.branchAddress(u.top(u.mode));
      u.moveStack(
        extra.position === 0 && extra.bits === 16
          ? u
              .immediate()
              .and(0xffff)
              .add(u.mode / 8)
          : u.mode / 8,
      );
      u.jump(target);
      u.end();
    },
  },
  ...(['LOOPNE', 'LOOPE', 'LOOP', 'JRCXZ'] as const).map((name, n): Instruction => ({
    name,
    forms: [`${hex(0xe0 + n)} Jb f64`],
    perMode: true,
    perAddress: true,
    build(u) {
      const bits = u.addressSize;
      if (name === 'JRCXZ') return u.code.if(u.gpr(Gpr.rcx, bits).eqz(), () => u.branch());
      const count = u.let(truncate(bits, u.gpr(Gpr.rcx, bits).sub(1)));
      u.setGpr(Gpr.rcx, count, bits);
      const condition =
        name === 'LOOP' ? count.ne(0) : count.ne(0).and(name === 'LOOPE' ? u.flags.zero() : u.flags.zero().eqz());
      u.code.if(condition, () => u.branch());
    },
  })),
];

const farTransfers: Instruction[] = [
  {
    name: 'JMP_far',
    forms: ['FF /5 Mv'],
    ends: true,
    build: (u, m) => {
      const p = farPointer(u, u.address(m));
      far(u, SegmentOperation.farJump, p.selector, p.offset);
    },
  },
  {
    name: 'CALL_far',
    forms: ['FF /3 Mv'],
    ends: true,
    build: (u, m) => {
      const p = farPointer(u, u.address(m));
      far(u, SegmentOperation.farCall, p.selector, p.offset);
    },
  },
  {
    name: 'RET_far',
    forms: ['CB', 'CA Iw'],
    ends: true,
    build: (u, extra) => far(u, SegmentOperation.farReturn, 0, extra.bits === 16 ? u.immediate() : I64.of(0)),
  },
  { name: 'IRET', forms: ['CF'], ends: true, build: (u) => far(u, SegmentOperation.iret, 0, I64.of(0)) },
  ...(
    [
      ['LES', 'C4 /r Gz,Mv i64', 0],
      ['LDS', 'C5 /r Gz,Mv i64', 3],
      ['LSS', '0F B2 /r Gv,Mv', 2],
      ['LFS', '0F B4 /r Gv,Mv', 4],
      ['LGS', '0F B5 /r Gv,Mv', 5],
    ] as const
  ).map(([name, form, segment]): Instruction => ({
    name,
    forms: [form],
    ends: true,
    build(u, dst, m) {
      const p = farPointer(u, u.address(m));
      // The general register is written once the selector proved good: segmentation.ts finds its slot and width here.
      u.exit(
        Exit.Segment,
        u.rip(),
        SegmentOperation.loadFar,
        segment,
        p.selector,
        p.offset.wrap(),
        p.offset.shrU(32).wrap(),
        u.slotOffset(dst),
        u.width,
      );
      u.end();
    },
  })),
];

const traps: Instruction[] = [
  {
    // INT3 and INTO are traps: RIP is after them.
    name: 'INT3',
    forms: ['CC'],
    perMode: true,
    ends: true,
    build(u) {
      u.setVector(Vector.BP);
      u.exit(Exit.Exception, u.nextRip());
      u.end();
    },
  },
  {
    name: 'INTO',
    forms: ['CE i64'],
    perMode: true,
    ends: true,
    build(u) {
      u.code.if(u.flags.overflow(), () => {
        u.setVector(Vector.OF);
        u.exit(Exit.Exception, u.nextRip());
      });
      u.jump(u.nextRip());
      u.end();
    },
  },
  {
    name: 'INT',
    forms: ['CD Ib'],
    perMode: true,
    ends: true,
    build(u) {
      u.setVector(u.immediate().wrap().and(0xff));
      u.exit(Exit.SoftwareInterrupt, u.nextRip());
      u.end();
    },
  },
  {
    name: 'INT1',
    forms: ['F1'],
    perMode: true,
    ends: true,
    build: (u) => {
      u.setVector(Vector.DB);
      u.exit(Exit.Exception, u.nextRip());
      u.end();
    },
  },
  {
    name: 'BOUND',
    forms: ['62 /r Gv,M i64'],
    build(u, index, m) {
      const va = u.address(m);
      const signed = (offset: number): I64 =>
        u.width === 16 ? u.load(16, va.add(offset)).extend16S() : u.load(32, va.add(offset)).extend32S();
      const lower = signed(0);
      const upper = signed(u.width / 8);
      const n = u.let(u.readSigned(index));
      u.raiseIf(n.ltS(lower).or(n.gtS(upper)), Vector.BR);
    },
  },
  {
    name: 'UD',
    forms: ['0F 0B', '0F B9', '0F FF'],
    ends: true,
    build: (u) => {
      u.raise(Vector.UD);
      u.end();
    },
  },
];

export const controlFlow: InstructionGroup = { instructions: [...jumps, ...farTransfers, ...traps] };
