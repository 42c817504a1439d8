import { Vector } from '../exits.ts';
import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import { I32, type I64 } from '../wasm/value.ts';
import { begin, requireNoPendingX87 } from './sse-operands.ts';

/** Bits of MXCSR that exist (SDM Vol. 1, "MXCSR Control and Status Register"); the others give #GP. Bit 17 of AMD processors
 * (misaligned operands) is not one of ours. */
export const MXCSR_MASK = 0xffff;

/** Places in the FXSAVE area (SDM Vol. 1, "FXSAVE Area"). */
const Fx = {
  control: 0,
  status: 2,
  tags: 4,
  opcode: 6,
  ip: 8,
  dp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  size: 512,
} as const;
const TOP_SHIFT = 11;
const TOP_MASK = 7 << TOP_SHIFT;
/** ES and B of the status word. */
const SUMMARY = 0x8080;
/** The bits of the control word that exist, and the one that is always set. */
const CONTROL_BITS = 0x1f3f;
const CONTROL_ONE = 0x40;

/** Bytes at the ends of the area that are not canonical are found out before an address that is not aligned. */
function requireCanonical(u: Semantics, area: I64): void {
  for (const va of [area, area.add(Fx.size - 1)]) u.code.if(va.shl(16).shrS(16).ne(va), () => u.readPointer(va, 1));
}

/** In 64-bit mode sixteen XMM registers are saved, otherwise eight. */
const xmmCount = (mode: 64 | 32): number => (mode === 64 ? 16 : 8);

/** With REX.W the instruction and data pointers have 64 bits. */
const fxsave = (name: string, w: 'W0' | 'W1'): Instruction => ({
  name,
  forms: [`NP 0F AE /0 M ${w}`],
  perMode: true,
  build(u, area) {
    u.requireFpu();
    const va = u.address(area);
    requireCanonical(u, va);
    u.requireAligned(va, 16);
    const c = u.code;
    const pointer = (at: I32, from: number, to: number): void =>
      c.store64(at, w === 'W1' ? u.vcpu.load64(from) : u.vcpu.load64From32U(from), to);
    // The last byte is tried first: its page faults rather than the first one.
    u.probeWrite(va.add(Fx.size - 1), 1);
    u.writePointer(va, Fx.size, (host) => {
      const top = u.let(u.vcpu.load32(S.x87Top));
      c.store16(host, u.vcpu.load32(S.x87Control), Fx.control);
      c.store16(host, u.vcpu.load32(S.x87Status).or(top.shl(TOP_SHIFT)), Fx.status);
      c.store16(host, u.vcpu.load32(S.x87Tags), Fx.tags);
      c.store16(host, u.vcpu.load32(S.x87Opcode), Fx.opcode);
      pointer(host, S.x87Ip, Fx.ip);
      pointer(host, S.x87Dp, Fx.dp);
      c.store32(host, u.vcpu.load32(S.mxcsr), Fx.mxcsr);
      c.store32(host, I32.of(MXCSR_MASK), Fx.mxcsrMask);
      for (let i = 0; i < 8; i++) {
        const from = u.let(u.vcpu.add(top.add(i).and(7).shl(4)));
        c.store64(host, from.load64(S.x87), Fx.st + 16 * i);
        c.store64(host, from.load64From16U(S.x87 + 8), Fx.st + 16 * i + 8);
      }
      for (let i = 0; i < xmmCount(u.mode); i++) c.storeV128(host, u.xmm(i), Fx.xmm + 16 * i);
    });
  },
});

const fxrstor = (name: string, w: 'W0' | 'W1'): Instruction => ({
  name,
  forms: [`NP 0F AE /1 M ${w}`],
  perMode: true,
  build(u, area) {
    u.requireFpu();
    const va = u.address(area);
    requireCanonical(u, va);
    u.requireAligned(va, 16);
    const c = u.code;
    u.readPointer(va.add(Fx.size - 1), 1);
    const host = u.let(u.readPointer(va, Fx.size));
    const mxcsr = u.let(host.load32(Fx.mxcsr));
    u.raiseIf(mxcsr.and(~MXCSR_MASK), Vector.GP, 0);
    const status = u.let(host.load16U(Fx.status));
    const top = u.let(status.and(TOP_MASK).shrU(TOP_SHIFT));
    const control = u.let(host.load16U(Fx.control).and(CONTROL_BITS).or(CONTROL_ONE));
    c.store32(u.vcpu, control, S.x87Control);
    // The exception summary follows from flags and masks, whatever the area says.
    const pending = status.and(control.not()).and(0x3f).ne(0);
    c.store32(u.vcpu, status.and(~(TOP_MASK | SUMMARY)).or(pending.select(I32.of(SUMMARY), I32.of(0))), S.x87Status);
    c.store32(u.vcpu, top, S.x87Top);
    c.store32(u.vcpu, host.load8U(Fx.tags), S.x87Tags);
    c.store32(u.vcpu, host.load16U(Fx.opcode).and(0x7ff), S.x87Opcode);
    const pointer = (from: number, to: number): void =>
      c.store64(u.vcpu, w === 'W1' ? host.load64(from) : host.load64From32U(from), to);
    pointer(Fx.ip, S.x87Ip);
    pointer(Fx.dp, S.x87Dp);
    c.store32(u.vcpu, mxcsr, S.mxcsr);
    u.mxcsrChanged();
    for (let i = 0; i < 8; i++) {
      const to = u.let(u.vcpu.add(top.add(i).and(7).shl(4)));
      c.store64(to, host.load64(Fx.st + 16 * i), S.x87);
      c.store64(to, host.load64From16U(Fx.st + 16 * i + 8), S.x87 + 8);
    }
    for (let i = 0; i < xmmCount(u.mode); i++) u.setXmm(i, host.loadV128(Fx.xmm + 16 * i));
  },
});

const instructions: Instruction[] = [
  fxsave('FXSAVE', 'W0'),
  fxsave('FXSAVE64', 'W1'),
  fxrstor('FXRSTOR', 'W0'),
  fxrstor('FXRSTOR64', 'W1'),
  {
    name: 'LDMXCSR',
    forms: ['NP 0F AE /2 Md'],
    build(u, src) {
      begin(u);
      const value = u.let(u.read(src, 32).wrap());
      u.raiseIf(value.and(~MXCSR_MASK), Vector.GP, 0);
      u.code.store32(u.vcpu, value, S.mxcsr);
      u.mxcsrChanged();
    },
  },
  {
    name: 'STMXCSR',
    forms: ['NP 0F AE /3 Md'],
    build(u, dst) {
      begin(u);
      u.write(dst, u.vcpu.load32(S.mxcsr).extendU(), 32);
    },
  },
  {
    name: 'EMMS',
    forms: ['NP 0F 77'],
    build(u) {
      begin(u);
      requireNoPendingX87(u);
      u.code.store32(u.vcpu, I32.of(0), S.x87Top);
      u.code.store32(u.vcpu, I32.of(0), S.x87Tags);
    },
  },
];

export const sseState: InstructionGroup = { instructions };
