import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import type { V128 } from '../wasm/value.ts';
import { arithmeticHelpers } from './sse-arithmetic-helpers.ts';
import { packed, scalar } from './sse-exceptions.ts';
import { bothFormats, type FastFormat, SHAPES } from './sse-format.ts';
import { type Arithmetic, inlinePacked, inlineScalar, readScalar } from './sse-inline.ts';
import { begin, readLow, readVector, writeLow } from './sse-operands.ts';

/** The destination is the first operand, except that of a square root. */
function buildPacked(u: Semantics, f: FastFormat, op: Arithmetic | 'addsub', dst: Operand, src: Operand): void {
  begin(u);
  const b = readVector(u, src);
  const operands = op === 'sqrt' ? [b] : [u.readV(dst), b];
  const inline = (): V128 => inlinePacked(u, f, op, ...operands.map((v) => u.let(v)));
  u.writeV(dst, u.inline ? inline() : packed(u, `${f.vector}.${op}`, ...operands));
}

function buildScalar(u: Semantics, f: FastFormat, op: Arithmetic, dst: Operand, src: Operand): void {
  begin(u);
  if (u.inline) {
    const b = readScalar(u, f, src);
    u.writeFloat(dst, op === 'sqrt' ? inlineScalar(u, f, op, b) : inlineScalar(u, f, op, readScalar(u, f, dst), b));
    return;
  }
  const b = readLow(u, src, f.bits);
  const operands = op === 'sqrt' ? [b] : [readLow(u, dst, f.bits), b];
  writeLow(u, dst, f.bits, scalar(u, `${f.name}.${op}`, ...operands));
}

const rows = (op: Arithmetic, name: string, opcode: string): Instruction[] =>
  bothFormats.flatMap((f): Instruction[] => {
    const shape = SHAPES[f.name];
    return [
      {
        name: `${name}${shape.packedSize.toUpperCase()}`,
        forms: [`${shape.packed} 0F ${opcode} /r V${shape.packedSize},W${shape.packedSize}`],
        build: (u, dst, src) => buildPacked(u, f, op, dst, src),
      },
      {
        name: `${name}${shape.scalarSize.toUpperCase()}`,
        forms: [`${shape.scalar} 0F ${opcode} /r V${shape.scalarSize},W${shape.scalarSize}`],
        build: (u, dst, src) => buildScalar(u, f, op, dst, src),
      },
    ];
  });

/** Even lanes subtracted, odd ones added (SSE3). */
const alternating = bothFormats.map((f): Instruction => {
  const size = SHAPES[f.name].packedSize;
  return {
    name: `ADDSUB${size.toUpperCase()}`,
    forms: [`${f.bits === 32 ? 'F2' : '66'} 0F D0 /r V${size},W${size}`],
    build: (u, dst, src) => buildPacked(u, f, 'addsub', dst, src),
  };
});

export const sseArithmetic: InstructionGroup = {
  helpers: arithmeticHelpers,
  instructions: [
    ...rows('add', 'ADD', '58'),
    ...rows('mul', 'MUL', '59'),
    ...rows('sub', 'SUB', '5C'),
    ...rows('div', 'DIV', '5E'),
    ...rows('sqrt', 'SQRT', '51'),
    ...alternating,
  ],
};
