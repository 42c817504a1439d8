import type { I32 } from '../wasm/value.ts';
import type { Instruction } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import { ENVIRONMENT, REGISTERS } from './x87-environment.ts';
import { askI32, exactly, hex, immediate, run, waiting } from './x87-form.ts';

/** Areas are probed at their first word and then at their last byte, as AMD processors do: the address of a page fault shows it. */
const readArea = (u: Semantics, o: Operand, format: 16 | 32, bytes: number): I32 => {
  u.readPointer(u.address(o), format / 8);
  u.readPointer(u.address(o).add(bytes - 1), 1);
  return u.readPointer(u.address(o), bytes);
};
const writeArea = (u: Semantics, o: Operand, format: 16 | 32, bytes: number, write: (host: I32) => void): void => {
  u.probeWrite(u.address(o), format / 8);
  u.probeWrite(u.address(o).add(bytes - 1), 1);
  u.writePointer(u.address(o), bytes, write);
};

/** Two rows of different operand size: the environment has two layouts. */
const sized = (
  name: string,
  opcode: number,
  digit: number,
  build: (u: Semantics, o: Operand, format: 16 | 32) => void,
): Instruction[] => {
  const make = name.startsWith('FN') ? immediate : waiting;
  const row = `${hex(opcode)} /${digit} M`;
  return [make(name, [row], (u, o) => build(u, o, 32)), make(`${name}16`, [`66 ${row}`], (u, o) => build(u, o, 16))];
};

/** Control and status words, environments, and the whole state. */
export const control: Instruction[] = [
  waiting('FLDCW', ['D9 /5 Mw'], (u, o) => run(u, 'setControl', u.read(o).wrap())),
  immediate('FNSTCW', ['D9 /7 Mw'], (u, o) => u.write(o, u.vcpu.load32(S.x87Control).extendU())),
  immediate('FNSTSW', ['DD /7 Mw'], (u, o) => u.write(o, askI32(u, 'status').extendU())),
  immediate('FNSTSW AX', [exactly(0xdf, 0xe0)], (u) => u.setGpr(0, askI32(u, 'status').extendU(), 16)),
  immediate('FNINIT', [exactly(0xdb, 0xe3)], (u) => run(u, 'initialize')),
  immediate('FNCLEX', [exactly(0xdb, 0xe2)], (u) => run(u, 'clearExceptions')),
  // FENI, FDISI and FSETPM of older coprocessors do nothing.
  immediate('FNNOP', [exactly(0xdb, 0xe0), exactly(0xdb, 0xe1), exactly(0xdb, 0xe4)], () => undefined),
  ...sized('FNSTENV', 0xd9, 6, (u, o, format) => {
    writeArea(u, o, format, ENVIRONMENT[format], (host) => run(u, `storeEnvironment${format}`, host));
    run(u, 'setControl', u.vcpu.load32(S.x87Control).or(0x3f));
  }),
  ...sized('FLDENV', 0xd9, 4, (u, o, format) => {
    run(u, `loadEnvironment${format}`, readArea(u, o, format, ENVIRONMENT[format]));
  }),
  ...sized('FNSAVE', 0xdd, 6, (u, o, format) => {
    const bytes = ENVIRONMENT[format];
    writeArea(u, o, format, bytes + REGISTERS, (host) => {
      run(u, `storeEnvironment${format}`, host);
      run(u, 'storeRegisters', host.add(bytes));
    });
    run(u, 'initialize');
  }),
  ...sized('FRSTOR', 0xdd, 4, (u, o, format) => {
    const bytes = ENVIRONMENT[format];
    const host = readArea(u, o, format, bytes + REGISTERS);
    run(u, `loadEnvironment${format}`, host);
    run(u, 'loadRegisters', host.add(bytes));
  }),
];
