import { Vector } from '../exits.ts';
import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import { type I32, type I64, type V128, ValType } from '../wasm/value.ts';
import { arithmeticHelpers } from './sse-arithmetic-helpers.ts';
import { bothFormats } from './sse-format.ts';
import { begin, callHelper, readLow, readVector, typed, writeLow } from './sse-operands.ts';

const { i32, i64, v128 } = ValType;

/** After the computation, before the destination changes: MXCSR's flags, and #XM when one is unmasked. */
export function settle(u: Semantics): void {
  u.code.if(u.vcpu.load32(S.mxcsrPending), () => {
    u.raiseIf(u.code.call(typed(u.helper('sseSettle'), i32), u.vcpu), Vector.XM);
  });
}

/** Operands to result, for both shapes of an instruction. */
export function packed(u: Semantics, name: string, ...args: readonly V128[]): V128 {
  const r = callHelper(u, name, v128, u.vcpu, ...args);
  settle(u);
  return r;
}
export function scalar(u: Semantics, name: string, ...args: readonly (I64 | I32)[]): I64 {
  const r = callHelper(u, name, i64, u.vcpu, ...args);
  settle(u);
  return r;
}

/** The prefixes and operand sizes of the four shapes, by format. */
export const SHAPES = {
  f32: { packed: 'NP', packedSize: 'ps', scalar: 'F3', scalarSize: 'ss' },
  f64: { packed: '66', packedSize: 'pd', scalar: 'F2', scalarSize: 'sd' },
} as const;

const binary = (op: 'add' | 'sub' | 'mul' | 'div', name: string, opcode: string): Instruction[] =>
  bothFormats.flatMap((f): Instruction[] => {
    const shape = SHAPES[f.name];
    return [
      {
        name: `${name}${shape.packedSize.toUpperCase()}`,
        forms: [`${shape.packed} 0F ${opcode} /r V${shape.packedSize},W${shape.packedSize}`],
        build(u, dst, src) {
          begin(u);
          const b = readVector(u, src);
          u.writeV(dst, packed(u, `${f.vector}.${op}`, u.readV(dst), b));
        },
      },
      {
        name: `${name}${shape.scalarSize.toUpperCase()}`,
        forms: [`${shape.scalar} 0F ${opcode} /r V${shape.scalarSize},W${shape.scalarSize}`],
        build(u, dst, src) {
          begin(u);
          const b = readLow(u, src, f.bits);
          writeLow(u, dst, f.bits, scalar(u, `${f.name}.${op}`, readLow(u, dst, f.bits), b));
        },
      },
    ];
  });

const root: Instruction[] = bothFormats.flatMap((f): Instruction[] => {
  const shape = SHAPES[f.name];
  return [
    {
      name: `SQRT${shape.packedSize.toUpperCase()}`,
      forms: [`${shape.packed} 0F 51 /r V${shape.packedSize},W${shape.packedSize}`],
      build(u, dst, src) {
        begin(u);
        u.writeV(dst, packed(u, `${f.vector}.sqrt`, readVector(u, src)));
      },
    },
    {
      name: `SQRT${shape.scalarSize.toUpperCase()}`,
      forms: [`${shape.scalar} 0F 51 /r V${shape.scalarSize},W${shape.scalarSize}`],
      build(u, dst, src) {
        begin(u);
        writeLow(u, dst, f.bits, scalar(u, `${f.name}.sqrt`, readLow(u, src, f.bits)));
      },
    },
  ];
});

/** Even lanes subtracted, odd ones added (SSE3). */
const alternating = bothFormats.map((f): Instruction => {
  const size = SHAPES[f.name].packedSize;
  return {
    name: `ADDSUB${size.toUpperCase()}`,
    forms: [`${f.bits === 32 ? 'F2' : '66'} 0F D0 /r V${size},W${size}`],
    build(u, dst: Operand, src: Operand) {
      begin(u);
      const b = readVector(u, src);
      u.writeV(dst, packed(u, `${f.vector}.addsub`, u.readV(dst), b));
    },
  };
});

export const sseArithmetic: InstructionGroup = {
  helpers: arithmeticHelpers,
  instructions: [
    ...binary('add', 'ADD', '58'),
    ...binary('mul', 'MUL', '59'),
    ...binary('sub', 'SUB', '5C'),
    ...binary('div', 'DIV', '5E'),
    ...root,
    ...alternating,
  ],
};
