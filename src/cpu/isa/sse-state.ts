import { Vector } from '../exits.ts';
import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import type { Code } from '../wasm/code.ts';
import { I32, type I64, ValType } from '../wasm/value.ts';
import { begin, requireNoPendingX87 } from './sse-operands.ts';

const { i32 } = ValType;

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

/** Each XMM register with its place in the area. The interpreter goes through the slots, for its size. */
function eachXmm(
  u: Semantics,
  inline: (n: number, at: number) => void,
  loop: (slot: I32, place: I32) => void,
  area: I32,
): void {
  const count = xmmCount(u.mode);
  if (u.inline) {
    for (let n = 0; n < count; n++) inline(n, Fx.xmm + 16 * n);
    return;
  }
  const n = u.code.variable(ValType.i32, I32.of(0));
  u.code.loop((_again, againIf) => {
    loop(u.let(u.vcpu.add(n.get.shl(1)).add(S.xmm)), u.let(area.add(n.get).add(Fx.xmm)));
    n.set(n.get.add(16));
    againIf(n.get.ltU(16 * count));
  });
}

/** Each x87 register: its slot, and its place in the area but for a constant. */
function eachX87(c: Code, vcpu: I32, top: I32, area: I32, body: (slot: I32, place: I32) => void): void {
  const n = c.variable(ValType.i32, I32.of(0));
  c.loop((_again, againIf) => {
    body(c.let(vcpu.add(top.add(n.get).and(7).shl(4))), c.let(area.add(n.get.shl(4))));
    n.set(n.get.add(1));
    againIf(n.get.ltU(8));
  });
}

/** (vcpu, host, wide): all but the XMM registers. Wide: the instruction and data pointers have 64 bits. */
const saveX87: Helper = {
  name: 'fxSaveX87',
  define: (m) =>
    m.function('fxSaveX87', [i32, i32, i32], undefined, (c) => {
      const [vcpu, host, wide] = [c.param(i32, 0), c.param(i32, 1), c.param(i32, 2)];
      const pointer = (from: number, to: number): void =>
        c.store64(host, wide.select(vcpu.load64(from), vcpu.load64From32U(from)), to);
      const top = c.let(vcpu.load32(S.x87Top));
      c.store16(host, vcpu.load32(S.x87Control), Fx.control);
      c.store16(host, vcpu.load32(S.x87Status).or(top.shl(TOP_SHIFT)), Fx.status);
      c.store16(host, vcpu.load32(S.x87Tags), Fx.tags);
      c.store16(host, vcpu.load32(S.x87Opcode), Fx.opcode);
      pointer(S.x87Ip, Fx.ip);
      pointer(S.x87Dp, Fx.dp);
      c.store32(host, vcpu.load32(S.mxcsr), Fx.mxcsr);
      c.store32(host, I32.of(MXCSR_MASK), Fx.mxcsrMask);
      eachX87(c, vcpu, top, host, (slot, place) => {
        c.store64(place, slot.load64(S.x87), Fx.st);
        c.store64(place, slot.load64From16U(S.x87 + 8), Fx.st + 8);
      });
    }),
};

/** (vcpu, host, wide): all but the XMM registers. */
const restoreX87: Helper = {
  name: 'fxRestoreX87',
  define: (m) =>
    m.function('fxRestoreX87', [i32, i32, i32], undefined, (c) => {
      const [vcpu, host, wide] = [c.param(i32, 0), c.param(i32, 1), c.param(i32, 2)];
      const status = c.let(host.load16U(Fx.status));
      const top = c.let(status.and(TOP_MASK).shrU(TOP_SHIFT));
      const control = c.let(host.load16U(Fx.control).and(CONTROL_BITS).or(CONTROL_ONE));
      c.store32(vcpu, control, S.x87Control);
      // The exception summary follows from flags and masks, whatever the area says.
      const pending = status.and(control.not()).and(0x3f).ne(0);
      c.store32(vcpu, status.and(~(TOP_MASK | SUMMARY)).or(pending.select(I32.of(SUMMARY), I32.of(0))), S.x87Status);
      c.store32(vcpu, top, S.x87Top);
      c.store32(vcpu, host.load8U(Fx.tags), S.x87Tags);
      c.store32(vcpu, host.load16U(Fx.opcode).and(0x7ff), S.x87Opcode);
      const pointer = (from: number, to: number): void =>
        c.store64(vcpu, wide.select(host.load64(from), host.load64From32U(from)), to);
      pointer(Fx.ip, S.x87Ip);
      pointer(Fx.dp, S.x87Dp);
      c.store32(vcpu, host.load32(Fx.mxcsr), S.mxcsr);
      eachX87(c, vcpu, top, host, (slot, place) => {
        c.store64(slot, place.load64(Fx.st), S.x87);
        c.store64(slot, place.load64From16U(Fx.st + 8), S.x87 + 8);
      });
    }),
};

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
    // The last byte is tried first: its page faults rather than the first one.
    u.probeWrite(va.add(Fx.size - 1), 1);
    u.writePointer(va, Fx.size, (host) => {
      u.code.do(u.helper('fxSaveX87'), u.vcpu, host, I32.of(w === 'W1' ? 1 : 0));
      eachXmm(
        u,
        (n, at) => u.code.storeV128(host, u.xmm(n), at),
        (slot, place) => u.code.storeV128(place, slot.loadV128()),
        host,
      );
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
    u.readPointer(va.add(Fx.size - 1), 1);
    const host = u.let(u.readPointer(va, Fx.size));
    u.raiseIf(host.load32(Fx.mxcsr).and(~MXCSR_MASK), Vector.GP, 0);
    u.code.do(u.helper('fxRestoreX87'), u.vcpu, host, I32.of(w === 'W1' ? 1 : 0));
    u.mxcsrChanged();
    eachXmm(
      u,
      (n, at) => u.setXmm(n, host.loadV128(at)),
      (slot, place) => u.code.storeV128(slot, place.loadV128()),
      host,
    );
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

export const sseState: InstructionGroup = { helpers: [saveX87, restoreX87], instructions };
