import { type Form, sizeOf } from '../form.ts';
import { Mode } from './layout.ts';

/** A memory operand as ModRM can say it. Registers are numbers; -1 is none. */
export interface Address {
  readonly base: number;
  readonly index: number;
  /** log2 of the scale */
  readonly scale: number;
  readonly disp: number;
  /** RIP-relative: `disp` is what the address adds to the RIP of the next instruction, and is given as the absolute target. */
  readonly ripTarget?: number;
  /** Forces a longer displacement than needed. */
  readonly longDisp?: boolean;
}

/** Everything that an encoding row leaves open. */
export interface Choices {
  readonly mode: Mode;
  readonly width: 16 | 32 | 64;
  readonly addressSize: 64 | 32 | 16;
  /** ModRM.rm: a register, or memory */
  readonly rm: number | Address;
  /** ModRM.reg where the row has no digit */
  readonly reg: number;
  /** Register in the opcode's low bits */
  readonly low: number;
  /** VEX.vvvv */
  readonly vvvv: number;
  readonly immediates: readonly bigint[];
  /** Emit a REX prefix even when it says nothing: byte registers 4…7 become SPL…DIL. */
  readonly rex: boolean;
  readonly segment: number | undefined;
  readonly lock: boolean;
  /** 0, 0xf2 or 0xf3 beside a mandatory prefix */
  readonly repeat: number;
  readonly at: number;
}

const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;

/** The bytes of one instruction. */
export function encode(form: Form, c: Choices): Uint8Array {
  const out: number[] = [];
  const wide = c.mode === Mode.long64 ? 64 : 32;
  if (c.segment !== undefined) out.push(SEGMENT_PREFIX[c.segment] ?? 0x3e);
  if (c.addressSize !== wide) out.push(0x67);
  const vex = form.map > 3;
  if (!vex && (form.prefix === '66' || (c.width === 16 && form.prefix !== 'NP'))) out.push(0x66);
  if (c.lock) out.push(0xf0);
  if (vex) {
    // Its prefix byte is part of VEX.
  } else if (form.prefix === 'F2' || form.prefix === 'F3') out.push(form.prefix === 'F2' ? 0xf2 : 0xf3);
  else if (c.repeat !== 0) out.push(c.repeat);

  const memory = typeof c.rm === 'object' ? c.rm : undefined;
  const rmRegister = typeof c.rm === 'number' ? c.rm : 0;
  const usesReg = form.modrm && form.digit < 0 && form.exact < 0;
  const usesRm = form.modrm && form.exact < 0;
  const usesLow = form.operands.some((o) => o.letter === 'Z');
  const needsW = form.w === 1 || (form.w === undefined && c.width === 64 && form.defaultSize === undefined);
  let rex = needsW && c.mode === Mode.long64 ? 0x48 : 0;
  if (usesReg && c.reg >= 8) rex |= 0x44;
  if (memory) {
    if (memory.index >= 8) rex |= 0x42;
    if (memory.base >= 8) rex |= 0x41;
  } else if (usesRm && rmRegister >= 8) rex |= 0x41;
  if (usesLow && c.low >= 8) rex |= 0x41;
  if (rex === 0 && c.rex && c.mode === Mode.long64) rex = 0x40;
  if (vex) pushVex(out, form, rex, c);
  else {
    if (rex !== 0) out.push(rex);
    if (form.map > 0) out.push(0x0f);
    if (form.map === 2) out.push(0x38);
    if (form.map === 3) out.push(0x3a);
  }
  out.push(form.opcode + (usesLow ? c.low & 7 : 0));
  let patchAt = -1;
  if (form.modrm) {
    if (form.exact >= 0) out.push(form.exact + (form.exactCount > 1 ? c.low & 7 : 0));
    else {
      const reg = ((form.digit >= 0 ? form.digit : c.reg) & 7) << 3;
      if (!memory) out.push(0xc0 | reg | (rmRegister & 7));
      else if (c.addressSize === 16) pushAddress16(out, reg, memory);
      else patchAt = pushAddress(out, reg, memory, c.mode);
    }
  }
  let nth = 0;
  for (const spec of form.operands) {
    if (spec.letter === 'I' || spec.letter === 'J' || spec.letter === 'O') {
      const bits = spec.letter === 'O' ? c.addressSize : sizeOf(spec, c.width);
      pushLittleEndian(out, c.immediates[nth++] ?? 0n, bits / 8);
    }
  }
  if (patchAt >= 0 && memory?.ripTarget !== undefined) {
    const relative = memory.ripTarget - (c.at + out.length);
    for (let i = 0; i < 4; i++) out[patchAt + i] = (relative >> (8 * i)) & 0xff;
  }
  return Uint8Array.from(out);
}

/** VEX in two or three bytes (SDM Vol. 2A, "VEX Prefix"); L is 0. */
function pushVex(out: number[], form: Form, rex: number, c: Choices): void {
  const pp = form.prefix === '66' ? 1 : form.prefix === 'F3' ? 2 : form.prefix === 'F2' ? 3 : 0;
  const r = rex & 4 ? 0 : 0x80;
  const tail = ((c.vvvv ^ 15) << 3) | pp;
  if (form.map === 4 && (rex & 0xb) === 0 && !c.rex) out.push(0xc5, r | tail);
  else out.push(0xc4, r | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) | (form.map - 3), (rex & 8 ? 0x80 : 0) | tail);
}

function pushLittleEndian(out: number[], value: bigint, bytes: number): void {
  for (let i = 0n; i < bytes; i++) out.push(Number((value >> (8n * i)) & 0xffn));
}

const push32 = (out: number[], value: number): void => {
  for (let i = 0; i < 4; i++) out.push((value >> (8 * i)) & 0xff);
};

/** ModRM, SIB and displacement; returns where a RIP-relative displacement is to be put, or -1. */
function pushAddress(out: number[], reg: number, a: Address, mode: Mode): number {
  if (a.ripTarget !== undefined) {
    out.push(0x05 | reg);
    push32(out, 0);
    return out.length - 4;
  }
  if (a.base < 0 && a.index < 0) {
    if (mode === Mode.long64) out.push(0x04 | reg, 0x25);
    else out.push(0x05 | reg);
    push32(out, a.disp);
    return -1;
  }
  if (a.base < 0) {
    out.push(0x04 | reg, (a.scale << 6) | ((a.index & 7) << 3) | 5);
    push32(out, a.disp);
    return -1;
  }
  const short = a.disp >= -128 && a.disp < 128 && a.longDisp !== true;
  const none = a.disp === 0 && (a.base & 7) !== 5 && a.longDisp !== true;
  const mod = none ? 0 : short ? 0x40 : 0x80;
  const sib = a.index >= 0 || (a.base & 7) === 4;
  if (sib) out.push(mod | reg | 4, (a.scale << 6) | (((a.index < 0 ? 4 : a.index) & 7) << 3) | (a.base & 7));
  else out.push(mod | reg | (a.base & 7));
  if (none) return -1;
  if (short) out.push(a.disp & 0xff);
  else push32(out, a.disp);
  return -1;
}

/** Sixteen-bit addressing: pairs (base, index) of ModRM.rm, in its order. */
export const PAIRS16 = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
] as const;

function pushAddress16(out: number[], reg: number, a: Address): void {
  const rm = PAIRS16.findIndex(([base, index]) => base === a.base && index === a.index);
  if (rm < 0) {
    out.push(0x06 | reg, a.disp & 0xff, (a.disp >> 8) & 0xff);
    return;
  }
  const none = a.disp === 0 && rm !== 6;
  const short = a.disp >= -128 && a.disp < 128 && a.longDisp !== true;
  out.push((none ? 0 : short ? 0x40 : 0x80) | reg | rm);
  if (none) return;
  out.push(a.disp & 0xff);
  if (!short) out.push((a.disp >> 8) & 0xff);
}
