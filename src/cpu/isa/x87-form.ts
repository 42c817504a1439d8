import type { Fn } from '../wasm/code.ts';
import { I32, type I64, type Value, type ValType } from '../wasm/value.ts';
import { Vector } from '../exits.ts';
import type { Instruction } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { Status } from './float80.ts';
import type { X87HelperName } from './x87-helpers.ts';

/** How x87 instructions are written down: rows, what comes first in all of them, and calls of helpers. */

type Argument = Value | number;
const helper = (u: Semantics, name: X87HelperName): Fn => u.helper(`x87.${name}`);
const values = (u: Semantics, args: readonly Argument[]): Value[] => [
  u.vcpu,
  ...args.map((a) => (typeof a === 'number' ? I32.of(a) : a)),
];

export const run = (u: Semantics, name: X87HelperName, ...args: readonly Argument[]): void =>
  u.code.do(helper(u, name), ...values(u, args));
export const askI32 = (u: Semantics, name: X87HelperName, ...args: readonly Argument[]): I32 =>
  u.let(u.code.call(helper(u, name) as Fn<typeof ValType.i32>, ...values(u, args)));
export const askI64 = (u: Semantics, name: X87HelperName, ...args: readonly Argument[]): I64 =>
  u.let(u.code.call(helper(u, name) as Fn<typeof ValType.i64>, ...values(u, args)));

/** What comes first: #NM, and unless the instruction does not wait, #MF for an exception that an earlier one left pending. */
function begin(u: Semantics, operand: Operand, waiting = true): void {
  u.requireFpu();
  // An exception records the operand's address.
  if (operand.kind === 'm') u.exposeAddress();
  if (waiting) u.raiseIf(u.vcpu.load32(S.x87Status).and(Status.ES), Vector.MF);
}

export const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
/** A row for eight registers: the byte of ST(0). */
export const onStack = (opcode: number, first: number): string => `${hex(opcode)} /${hex(first)}+i STi`;
export const exactly = (opcode: number, modrm: number): string => `${hex(opcode)} /${hex(modrm)}`;
export const index = (u: Semantics): I32 => u.op.load16U(Op.a);

export const waiting = (
  name: string,
  forms: readonly string[],
  build: (u: Semantics, operand: Operand) => void,
): Instruction => ({
  name,
  forms,
  build(u, operand) {
    begin(u, operand);
    build(u, operand);
  },
});
export const immediate = (
  name: string,
  forms: readonly string[],
  build: (u: Semantics, operand: Operand) => void,
): Instruction => ({
  name,
  forms,
  build(u, operand) {
    begin(u, operand, false);
    build(u, operand);
  },
});
