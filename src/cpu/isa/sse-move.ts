import { truncate } from '../flags.ts';
import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { lowLane64, reduce, shuffleUnits } from '../wasm/simd.ts';
import { I32, type I64, ValType } from '../wasm/value.ts';
import { begin, enterMmx, mmxHelpers, readLow, readVector, writeLow, writeMmx, writeVector } from './sse-operands.ts';

/** Whole vectors. Aligned: a memory operand must be. */
const whole = (name: string, forms: readonly string[], aligned: boolean): Instruction => ({
  name,
  forms,
  build(u, dst, src) {
    begin(u);
    u.writeV(dst, u.readV(src, aligned), aligned);
  },
});

/** MOVSS and MOVSD: a load clears the rest of the register, a register move keeps it. */
const scalar = (name: string, prefix: string, size: string, bits: 32 | 64): Instruction => ({
  name,
  forms: [
    `${prefix} 0F 10 /r Vdq,M${size}`,
    `${prefix} 0F 10 /r V${size},U${size}`,
    `${prefix} 0F 11 /r M${size},Vdq`,
    `${prefix} 0F 11 /r U${size},V${size}`,
  ],
  build(u, dst, src) {
    begin(u);
    if (src.kind === 'm') u.writeV(dst, readVector(u, src));
    else if (dst.kind === 'm') u.write(dst, readLow(u, src, bits), bits);
    else writeLow(u, dst, bits, readLow(u, src, bits));
  },
});

/** Moves of one half: to and from memory, or to it from a half of another register. */
const half = (name: string, forms: readonly string[], to: 0 | 1, from: 0 | 1): Instruction => ({
  name,
  forms,
  build(u, dst, src) {
    begin(u);
    const value = u.let(src.kind === 'm' ? u.read(src, 64) : u.readLane(src, 64, from));
    if (dst.kind === 'm') u.write(dst, value, 64);
    else u.writeLane(dst, 64, to, value);
  },
});

/** Copies of units within one vector. */
const duplicate = (name: string, form: string, bytes: number, units: readonly number[]): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    const v = u.let(readVector(u, src));
    u.writeV(dst, shuffleUnits(bytes, v, v, units));
  },
});

/** Sign bits of the lanes to a general register. */
const signs = (name: string, form: string, lanes: 'i32x4' | 'i64x2'): Instruction => ({
  name,
  forms: [form],
  build(u, dst, src) {
    begin(u);
    u.write(dst, reduce(`${lanes}.bitmask`, u.readV(src)).extendU());
  },
});

/** DS:rDI, or the segment of an override prefix. */
const implicitDestination = (u: Semantics): I64 =>
  truncate(u.addressSize, u.gpr(Gpr.rdi)).add(u.addressPart(Op.segment));

const instructions: Instruction[] = [
  whole('MOVUPS', ['NP 0F 10 /r Vps,Wps', 'NP 0F 11 /r Wps,Vps'], false),
  whole('MOVUPD', ['66 0F 10 /r Vpd,Wpd', '66 0F 11 /r Wpd,Vpd'], false),
  whole('MOVAPS', ['NP 0F 28 /r Vps,Wps', 'NP 0F 29 /r Wps,Vps'], true),
  whole('MOVAPD', ['66 0F 28 /r Vpd,Wpd', '66 0F 29 /r Wpd,Vpd'], true),
  whole('MOVDQA', ['66 0F 6F /r Vdq,Wdq', '66 0F 7F /r Wdq,Vdq'], true),
  whole('MOVDQU', ['F3 0F 6F /r Vdq,Wdq', 'F3 0F 7F /r Wdq,Vdq'], false),
  whole('LDDQU', ['F2 0F F0 /r Vdq,Mdq'], false),
  // Non-temporal hints mean nothing to us.
  whole('MOVNTPS', ['NP 0F 2B /r Mps,Vps'], true),
  whole('MOVNTPD', ['66 0F 2B /r Mpd,Vpd'], true),
  whole('MOVNTDQ', ['66 0F E7 /r Mdq,Vdq'], true),
  whole('MOVNTDQA', ['66 0F 38 2A /r Vdq,Mdq'], true),
  scalar('MOVSS', 'F3', 'ss', 32),
  // Its string namesake is the integer instruction.
  scalar('MOVSD xmm', 'F2', 'sd', 64),
  half('MOVLPS', ['NP 0F 12 /r Vq,Mq', 'NP 0F 13 /r Mq,Vq'], 0, 0),
  half('MOVLPD', ['66 0F 12 /r Vq,Mq', '66 0F 13 /r Mq,Vq'], 0, 0),
  half('MOVHPS', ['NP 0F 16 /r Vq,Mq', 'NP 0F 17 /r Mq,Vq'], 1, 1),
  half('MOVHPD', ['66 0F 16 /r Vq,Mq', '66 0F 17 /r Mq,Vq'], 1, 1),
  half('MOVHLPS', ['NP 0F 12 /r Vq,Uq'], 0, 1),
  half('MOVLHPS', ['NP 0F 16 /r Vq,Uq'], 1, 0),
  duplicate('MOVSLDUP', 'F3 0F 12 /r Vps,Wps', 4, [0, 0, 2, 2]),
  duplicate('MOVSHDUP', 'F3 0F 16 /r Vps,Wps', 4, [1, 1, 3, 3]),
  duplicate('MOVDDUP', 'F2 0F 12 /r Vpd,Wq', 8, [0, 0]),
  signs('MOVMSKPS', 'NP 0F 50 /r Gd,Ups', 'i32x4'),
  signs('MOVMSKPD', '66 0F 50 /r Gd,Upd', 'i64x2'),
  {
    name: 'MOVD',
    forms: ['NP 0F 6E /r Pq,Ed W0', '66 0F 6E /r Vdq,Ed W0', 'NP 0F 7E /r Ed,Pq W0', '66 0F 7E /r Ed,Vdq W0'],
    build(u, dst, src) {
      begin(u, dst, src);
      const value = u.let(readLow(u, src, 32));
      if (dst.kind === 'r' || dst.kind === 'm') u.write(dst, value);
      if (dst.kind === 'x') u.writeV(dst, lowLane64(value));
      if (dst.kind === 'q') writeMmx(u, dst, value);
      else if (src.kind === 'q') enterMmx(u);
    },
  },
  {
    name: 'MOVQ',
    forms: [
      'NP 0F 6E /r Pq,Eq W1',
      '66 0F 6E /r Vdq,Eq W1',
      'NP 0F 7E /r Eq,Pq W1',
      '66 0F 7E /r Eq,Vdq W1',
      'NP 0F 6F /r Pq,Qq',
      'NP 0F 7F /r Qq,Pq',
      'F3 0F 7E /r Vdq,Wq',
      '66 0F D6 /r Wq,Vdq',
    ],
    build(u, dst, src) {
      begin(u, dst, src);
      const value = u.let(readLow(u, src, 64));
      if (dst.kind === 'r' || dst.kind === 'm') u.write(dst, value);
      if (dst.kind === 'x') u.writeV(dst, lowLane64(value));
      if (dst.kind === 'q') writeMmx(u, dst, value);
      else if (src.kind === 'q') enterMmx(u);
    },
  },
  {
    name: 'MOVNTQ',
    forms: ['NP 0F E7 /r Mq,Pq'],
    build(u, dst, src) {
      begin(u, src);
      u.write(dst, u.readLane(src, 64));
      enterMmx(u);
    },
  },
  {
    name: 'MOVQ2DQ',
    forms: ['F3 0F D6 /r Vdq,Nq'],
    build(u, dst, src) {
      begin(u, src);
      u.writeV(dst, u.readV(src));
      enterMmx(u);
    },
  },
  {
    name: 'MOVDQ2Q',
    forms: ['F2 0F D6 /r Pq,Uq'],
    build(u, dst, src) {
      begin(u, dst);
      writeVector(u, dst, u.readV(src));
    },
  },
  {
    // Bytes of a vector to DS:rDI where the mask's byte is negative; only those bytes are written, but all of the destination is checked.
    name: 'MASKMOVDQU',
    forms: ['66 0F F7 /r Vdq,Udq', 'NP 0F F7 /r Pq,Nq'],
    perAddress: true,
    build(u, src, mask) {
      begin(u, src);
      // Bytes are taken one by one by their address.
      const from = u.vcpu.add(S.scratch);
      const masks = u.vcpu.add(S.scratch + 16);
      u.code.storeV128(from, u.readV(src));
      u.code.storeV128(masks, u.readV(mask));
      const bytes = src.kind === 'x' ? 16 : 8;
      u.writePointer(implicitDestination(u), bytes, (host) => {
        const n = u.code.variable(ValType.i32, I32.of(0));
        u.code.loop((_again, againIf) => {
          u.code.if(masks.add(n.get).load8U().shrU(7), () => u.code.store8(host.add(n.get), from.add(n.get).load8U()));
          n.set(n.get.add(1));
          againIf(n.get.ltU(bytes));
        });
      });
      if (src.kind === 'q') enterMmx(u);
    },
  },
];

export const sseMove: InstructionGroup = { helpers: mmxHelpers, instructions };
