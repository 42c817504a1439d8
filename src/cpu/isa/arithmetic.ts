import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { I64 } from '../wasm/value.ts';
import { truncate } from '../flags.ts';
import type { Semantics } from '../semantics.ts';

/** The encodings that ADD, OR, ADC, SBB, AND, SUB, XOR and CMP share: opcode row n*8, digit n of the immediate group. */
const aluForms = (n: number): string[] => {
  const op = (low: number): string => (n * 8 + low).toString(16).toUpperCase().padStart(2, '0');
  return [
    `${op(0)} /r Eb,Gb`, `${op(1)} /r Ev,Gv`, `${op(2)} /r Gb,Eb`, `${op(3)} /r Gv,Ev`, `${op(4)} AL,Ib`, `${op(5)} rAX,Iz`,
    `80 /${n} Eb,Ib`, `81 /${n} Ev,Iz`, `82 /${n} Eb,Ib i64`, `83 /${n} Ev,Ib`,
  ];
};

/** dst := combine(dst, src), flags from both. */
const binary = (name: string, n: number, combine: (u: Semantics, a: I64, b: I64) => I64, flags: 'add' | 'sub' | 'logic'): Instruction => ({
  name,
  forms: aluForms(n),
  lock: true,
  build(u, dst, src) {
    const b = u.let(u.read(src));
    const { old, result } = u.modify(dst, (a) => combine(u, a, b));
    if (flags === 'logic') u.flags.logic(u.width, result);
    else u.flags[flags](u.width, old, b, result);
  },
});

const instructions: Instruction[] = [
  // SDM Vol. 2A, "ADD"; the others under their names.
  binary('ADD', 0, (_u, a, b) => a.add(b), 'add'),
  binary('OR', 1, (_u, a, b) => a.or(b), 'logic'),
  binary('ADC', 2, (u, a, b) => a.add(b).add(u.flags.carry().extendU()), 'add'),
  binary('SBB', 3, (u, a, b) => a.sub(b).sub(u.flags.carry().extendU()), 'sub'),
  binary('AND', 4, (_u, a, b) => a.and(b), 'logic'),
  binary('SUB', 5, (_u, a, b) => a.sub(b), 'sub'),
  binary('XOR', 6, (_u, a, b) => a.xor(b), 'logic'),
  {
    name: 'CMP',
    forms: aluForms(7),
    build(u, dst, src) {
      const a = u.let(u.read(dst));
      const b = u.let(u.read(src));
      u.flags.sub(u.width, a, b, u.let(truncate(u.width, a.sub(b))));
    },
  },
  {
    name: 'TEST',
    forms: ['84 /r Eb,Gb', '85 /r Ev,Gv', 'A8 AL,Ib', 'A9 rAX,Iz', 'F6 /0 Eb,Ib', 'F6 /1 Eb,Ib', 'F7 /0 Ev,Iz', 'F7 /1 Ev,Iz'],
    build(u, dst, src) {
      u.flags.logic(u.width, u.let(u.read(dst).and(u.read(src))));
    },
  },
];

export const arithmetic: InstructionGroup = { instructions };
