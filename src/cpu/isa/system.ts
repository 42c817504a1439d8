import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Fn } from '../wasm/code.ts';
import { I32, I64, type ValType } from '../wasm/value.ts';
import { Exit, Privileged, Vector } from '../exits.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { SegmentOperation } from '../segmentation.ts';
import { Op, S } from '../state-layout.ts';

/** Guest time in TSC ticks: nanoseconds, since the TSC runs at 1 GHz by definition. */
const timeStamp = (u: Semantics): I64 =>
  u.let(
    u.code
      .call(u.helper('now') as Fn<typeof ValType.f64>)
      .toI64S()
      .add(u.vcpu.load64(S.tscOffset)),
  );

function readTimeStamp(u: Semantics): void {
  const tsc = timeStamp(u);
  u.setGpr(Gpr.rax, tsc, 32);
  u.setGpr(Gpr.rdx, tsc.shrU(32), 32);
}

const random = (u: Semantics): I64 => u.code.call(u.helper('random') as Fn<typeof ValType.i32>).extendU();

const user: Instruction[] = [
  {
    name: 'NOP',
    forms: ['90 noB', ...['0D', '18', '19', '1A', '1B', '1C', '1D', '1E', '1F'].map((o) => `0F ${o} /r Ev,Gv`)],
    build: () => undefined,
  },
  {
    // What a loop that waits for another processor executes; whoever runs this one may give its time away.
    name: 'PAUSE',
    forms: ['F3 90'],
    build: (u) => u.code.store32(u.vcpu, u.vcpu.load32(S.pauses).add(1), S.pauses),
  },
  {
    // MFENCE keeps loads that follow from overtaking stores before it, as a locked operation does (SDM Vol. 3A, "Memory Ordering"). LFENCE and SFENCE would
    // need nothing: loads and stores are each in order as they are.
    name: 'fence',
    forms: ['NP 0F AE /E8+i', 'NP 0F AE /F0+i', 'NP 0F AE /F8+i'],
    build: (u) => u.code.drop(u.vcpu.add(S.zero).atomicOr64(I64.of(0))),
  },
  {
    name: 'CLFLUSH',
    forms: ['NP 0F AE /7 Mb', '66 0F AE /7 Mb'],
    build: (u, m) => void u.readPointer(u.address(m), 1),
  },
  {
    name: 'CPUID',
    forms: ['0F A2'],
    ends: true,
    build: (u) => {
      u.exit(Exit.Cpuid, u.rip());
      u.end();
    },
  },
  { name: 'RDTSC', forms: ['0F 31'], build: readTimeStamp },
  {
    name: 'RDTSCP',
    forms: ['0F 01 /F9'],
    build(u) {
      readTimeStamp(u);
      u.setGpr(Gpr.rcx, u.vcpu.load64From32U(S.tscAux), 32);
    },
  },
  ...(['RDRAND', 'RDSEED'] as const).map((name, n): Instruction => ({
    name,
    forms: [`NFx 0F C7 /${6 + n} Rv`],
    build(u, dst) {
      u.write(dst, u.width === 64 ? random(u).shl(32).or(random(u)) : random(u));
      // Always successful: CF set, the other status flags clear.
      u.flags.setStatus(I32.of(1));
    },
  })),
  {
    name: 'SYSCALL',
    forms: ['0F 05'],
    perMode: true,
    ends: true,
    build: (u) => {
      u.exit(Exit.Syscall, u.nextRip());
      u.end();
    },
  },
  {
    name: 'SYSENTER',
    forms: ['0F 34'],
    perMode: true,
    ends: true,
    build: (u) => {
      u.exit(Exit.Sysenter, u.nextRip());
      u.end();
    },
  },
  ...(['RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'] as const).map((name, n): Instruction => ({
    name,
    forms: [`F3 0F AE /${n} Ry o64`],
    build(u, register) {
      u.raiseIf(u.vcpu.load32(S.fsGsBaseEnabled).eqz(), Vector.UD);
      const at = S.segmentBase + (n % 2 === 0 ? 4 : 5) * 8;
      if (n < 2) u.write(register, u.vcpu.load64(at));
      else {
        const value = u.let(u.read(register));
        u.raiseIf(value.shl(16).shrS(16).ne(value), Vector.GP, 0);
        u.code.store64(u.vcpu, value, at);
      }
    },
  })),
];

/** CR0 as SMSW shows it: paging, alignment mask, write protect, numeric error, extension type, monitor coprocessor, protection; without TS. */
const CR0 = 0x8005_0033 | 0;

/** Descriptor questions that every privilege level may ask: done by segmentation.ts. Details: selector, slot of the destination, its width. */
const descriptors: Instruction[] = [
  ...(['lar', 'lsl'] as const).map((name, n): Instruction => ({
    name: name.toUpperCase(),
    forms: [`0F 0${2 + n} /r Gv,Ew`],
    ends: true,
    build(u, dst, src) {
      u.exit(Exit.Segment, u.rip(), SegmentOperation[name], u.read(src).wrap(), u.slotOffset(dst), u.width);
      u.end();
    },
  })),
  ...(['verr', 'verw'] as const).map((name, n): Instruction => ({
    name: name.toUpperCase(),
    forms: [`0F 00 /${4 + n} Ew`],
    ends: true,
    build(u, src) {
      u.exit(Exit.Segment, u.rip(), SegmentOperation[name], u.read(src).wrap());
      u.end();
    },
  })),
  {
    name: 'ARPL',
    forms: ['63 /r Ew,Gw i64'],
    build(u, dst, src) {
      const want = u.let(u.read(src).and(3));
      const less = u.let(u.let(u.read(dst)).and(3).ltU(want));
      // A selector that is good already is not written.
      u.code.if(less, () => void u.modify(dst, (a) => a.and(~3).or(want)));
      u.flags.setZero(less);
    },
  },
  ...(
    [
      ['SLDT', '0F 00 /0 Ev', (u) => u.vcpu.load16U(S.ldtSelector)],
      ['STR', '0F 00 /1 Ev', (u) => u.vcpu.load16U(S.taskSelector)],
      ['SMSW', '0F 01 /4 Ev', (u) => u.vcpu.load32(S.taskSwitched).shl(3).or(CR0)],
    ] satisfies readonly (readonly [string, string, (u: Semantics) => I32])[]
  ).map(([name, form, read]): Instruction => ({
    name,
    forms: [form],
    build(u, dst) {
      // Memory gets 16 bits whatever the operand size.
      const value = read(u).extendU();
      if (dst.kind === 'm') u.store(16, u.address(dst), value);
      else u.write(dst, value);
    },
  })),
  ...(
    [
      ['SGDT', 0, S.gdtLimit, S.gdtBase],
      ['SIDT', 1, S.idtLimit, S.idtBase],
    ] as const
  ).map(([name, digit, limit, base]): Instruction => ({
    name,
    forms: [`0F 01 /${digit} M`],
    perMode: true,
    build(u, m) {
      const va = u.address(m);
      u.writePointer(va, 2 + u.mode / 8, (host) => {
        u.code.store16(host, u.vcpu.load32(limit));
        if (u.mode === 64) u.code.store64(host, u.vcpu.load64(base), 2);
        else u.code.store32(host, u.vcpu.load32(base), 2);
      });
    },
  })),
];

const IN_OUT: readonly (readonly [form: string, kind: 'in' | 'out'])[] = [
  ['E4 AL,Ib', 'in'],
  ['E5 rAX,Ib', 'in'],
  ['EC AL,DX', 'in'],
  ['ED rAX,DX', 'in'],
  ['E6 AL,Ib', 'out'],
  ['E7 rAX,Ib', 'out'],
  ['EE AL,DX', 'out'],
  ['EF rAX,DX', 'out'],
];

/** Exits with `Privileged[kind]` and no operands. */
const PLAIN: readonly (readonly [form: string, kind: keyof typeof Privileged])[] = [
  ['FA', 'cli'],
  ['FB', 'sti'],
  ['F4', 'hlt'],
  ['0F 32', 'rdmsr'],
  ['0F 30', 'wrmsr'],
  ['0F 06', 'clts'],
  ['0F 09', 'wbinvd'],
  ['0F 08', 'invd'],
  ['0F 33', 'rdpmc'],
  ['0F 07', 'sysret'],
  ['0F 35', 'sysexit'],
  ['0F 01 /D1', 'xsetbv'],
  ['0F 01 /F8', 'swapgs'],
  ['0F 01 /CA', 'clac'],
  ['0F 01 /CB', 'stac'],
  ['0F 01 /C8', 'monitor'],
  ['0F 01 /C9', 'mwait'],
  ['0F 01 /C1', 'vmcall'],
  ['0F 01 /D9', 'vmmcall'],
  ['0F 00 /2 Ew', 'lldt'],
  ['0F 00 /3 Ew', 'ltr'],
  ['0F 01 /2 M', 'lgdt'],
  ['0F 01 /3 M', 'lidt'],
  ['0F 01 /6 Ew', 'lmsw'],
];

const privileged: Instruction[] = [
  ...(['in', 'out'] as const).map((kind): Instruction => ({
    name: kind.toUpperCase(),
    forms: IN_OUT.filter(([, k]) => k === kind).map(([form]) => form),
    ends: true,
    build: (u, _a, port) =>
      u.privileged(
        Privileged[kind],
        Math.min(u.width, 32),
        port.kind === 'i' ? u.immediate().wrap().and(0xff) : u.gpr(Gpr.rdx, 16).wrap(),
      ),
  })),
  ...PLAIN.map(([form, kind]): Instruction => ({
    name: kind,
    forms: [form],
    ends: true,
    build: (u) => u.privileged(Privileged[kind]),
  })),
  ...(['movFromCr', 'movFromDr', 'movToCr', 'movToDr'] as const).map((kind, n): Instruction => ({
    name: kind,
    // ModRM.mod is ignored: the operand is always a register (SDM Vol. 2B, "MOV—Move to/from Control Registers").
    forms: [n < 2 ? `0F ${20 + n} /r Ry,Cd` : `0F ${20 + n} /r Cd,Ry`],
    ends: true,
    build(u, a, b) {
      const [general, control] = n < 2 ? [a, b] : [b, a];
      const field = (position: number): I32 => u.op.load16U(position === 0 ? Op.a : Op.b);
      u.privileged(Privileged[kind], field(general.position).shrU(3), field(control.position));
    },
  })),
  {
    name: 'invlpg',
    forms: ['0F 01 /7 Mb'],
    ends: true,
    build(u, m) {
      u.code.store64(u.vcpu, u.address(m), S.faultAddress);
      u.privileged(Privileged.invlpg);
    },
  },
];

export const system: InstructionGroup = { instructions: [...user, ...descriptors, ...privileged] };
