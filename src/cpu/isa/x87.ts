import { I32, I64 } from '../wasm/value.ts';
import type { Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Operand, Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import { Result } from './float80.ts';
import { After } from './x87-arithmetic.ts';
import { control } from './x87-control.ts';
import { askI32, askI64, exactly, index, onStack, run, waiting } from './x87-form.ts';
import { X87_HELPERS } from './x87-helpers.ts';

/*
 * The x87 instructions (SDM Vol. 1, "Programming with the x87 FPU"; encodings: Vol. 2D, "Escape Opcode Instructions"). A handler fetches its operand and
 * calls one helper, which does all the rest: the numbers in float80-*.ts, stack and exceptions in x87-*.ts.
 *
 * Departs from the manuals in this: the instruction and data pointers change only when an unmasked exception is found, so FNSTENV does not tell of other
 * instructions (FXSAVE on AMD does not either); last opcode, CS and DS selectors read as 0.
 */

// ---- arithmetic: operations are numbered by ModRM.reg ----

const OPERATIONS = [
  ['ADD', 0],
  ['MUL', 1],
  ['SUB', 4],
  ['SUBR', 5],
  ['DIV', 6],
  ['DIVR', 7],
] as const;

const arithmetic: Instruction[] = OPERATIONS.flatMap(([name, n]) => {
  // DC and DE name the reversed operations the other way round (SDM Vol. 2D, "Escape Opcodes").
  const toRegister = n >= 4 ? n ^ 1 : n;
  return [
    waiting(`F${name}`, [`D8 /${n} Md`, `DC /${n} Mq`], (u, o) => {
      run(u, o.bits === 32 ? 'binarySingle' : 'binaryDouble', u.op, n, u.read(o));
    }),
    waiting(`FI${name}`, [`DA /${n} Md`, `DE /${n} Mw`], (u, o) => run(u, 'binaryInteger', u.op, n, u.readSigned(o))),
    waiting(`F${name} ST0,STi`, [onStack(0xd8, 0xc0 + n * 8)], (u) =>
      run(u, 'binaryRegister', u.op, n, 0, index(u), 0),
    ),
    waiting(`F${name} STi,ST0`, [onStack(0xdc, 0xc0 + toRegister * 8)], (u) =>
      run(u, 'binaryRegister', u.op, n, index(u), 0, 0),
    ),
    waiting(`F${name}P`, [onStack(0xde, 0xc0 + toRegister * 8)], (u) =>
      run(u, 'binaryRegister', u.op, n, index(u), 0, After.pop),
    ),
  ];
});

const compareMemory = (suffix: string, n: number, after: number): Instruction[] => [
  waiting(`FCOM${suffix}`, [`D8 /${n} Md`, `DC /${n} Mq`], (u, o) => {
    run(u, o.bits === 32 ? 'compareSingle' : 'compareDouble', u.op, u.read(o), after);
  }),
  waiting(`FICOM${suffix}`, [`DA /${n} Md`, `DE /${n} Mw`], (u, o) =>
    run(u, 'compareInteger', u.op, u.readSigned(o), after),
  ),
];
const compareStack = (name: string, forms: readonly string[], after: number, i?: number): Instruction =>
  waiting(name, forms, (u) => run(u, 'compareRegister', u.op, i ?? index(u), after));
/** The helper sets flags, in the state itself. */
const compareFlags = (name: string, forms: readonly string[], after: number): Instruction => ({
  ...compareStack(name, forms, after | After.eflags),
  flagsInLoop: true,
});

const compare: Instruction[] = [
  ...compareMemory('', 2, 0),
  ...compareMemory('P', 3, After.pop),
  // DC D0, DC D8 and DE D0 are undocumented synonyms.
  compareStack('FCOM STi', [onStack(0xd8, 0xd0), onStack(0xdc, 0xd0)], 0),
  compareStack('FCOMP STi', [onStack(0xd8, 0xd8), onStack(0xdc, 0xd8), onStack(0xde, 0xd0)], After.pop),
  compareStack('FCOMPP', [exactly(0xde, 0xd9)], After.popTwice, 1),
  compareStack('FUCOM', [onStack(0xdd, 0xe0)], After.quiet),
  compareStack('FUCOMP', [onStack(0xdd, 0xe8)], After.quiet | After.pop),
  compareStack('FUCOMPP', [exactly(0xda, 0xe9)], After.quiet | After.popTwice, 1),
  compareFlags('FCOMI', [onStack(0xdb, 0xf0)], 0),
  compareFlags('FCOMIP', [onStack(0xdf, 0xf0)], After.pop),
  compareFlags('FUCOMI', [onStack(0xdb, 0xe8)], After.quiet),
  compareFlags('FUCOMIP', [onStack(0xdf, 0xe8)], After.quiet | After.pop),
  waiting('FTST', [exactly(0xd9, 0xe4)], (u) => run(u, 'compare', u.op, 0, I64.of(0), 0)),
  waiting('FXAM', [exactly(0xd9, 0xe5)], (u) => run(u, 'examine')),
];

// ---- loads ----

const extendedAt = (u: Semantics, o: Operand): [se: I32, sig: I64] => {
  const host = u.readPointer(u.address(o), 10);
  return [u.let(host.load16U(8)), u.let(host.load64())];
};

/** FLD1 … FLDZ: D9 E8 and on. `above`: what rounding to nearest adds to the truncated significand; `exact` ones ignore rounding. */
const CONSTANTS = [
  ['FLD1', 0x3fff, 0x8000_0000_0000_0000n, 'exact'],
  ['FLDL2T', 0x4000, 0xd49a_784b_cd1b_8afen, 0],
  ['FLDL2E', 0x3fff, 0xb8aa_3b29_5c17_f0bbn, 1],
  ['FLDPI', 0x4000, 0xc90f_daa2_2168_c234n, 1],
  ['FLDLG2', 0x3ffd, 0x9a20_9a84_fbcf_f798n, 1],
  ['FLDLN2', 0x3ffe, 0xb172_17f7_d1cf_79abn, 1],
  ['FLDZ', 0, 0n, 'exact'],
] as const;

const loads: Instruction[] = [
  waiting('FLD', ['D9 /0 Md', 'DD /0 Mq'], (u, o) =>
    run(u, o.bits === 32 ? 'loadSingle' : 'loadDouble', u.op, u.read(o)),
  ),
  waiting('FLD m80', ['DB /5 Mt'], (u, o) => run(u, 'push', u.op, ...extendedAt(u, o), 0)),
  waiting('FLD STi', [onStack(0xd9, 0xc0)], (u) => run(u, 'pushRegister', u.op, index(u))),
  waiting('FILD', ['DF /0 Mw', 'DB /0 Md', 'DF /5 Mq'], (u, o) => run(u, 'loadInteger', u.op, u.readSigned(o))),
  waiting('FBLD', ['DF /4 Mt'], (u, o) => {
    const [high, low] = extendedAt(u, o);
    run(u, 'pushResult', u.op, askI32(u, 'fromBcd', low, high));
  }),
  ...CONSTANTS.map(([name, se, sig, above], i) =>
    waiting(name, [exactly(0xd9, 0xe8 + i)], (u) => {
      if (above === 'exact') return run(u, 'push', u.op, se, I64.of(sig), 0);
      const rounding = u.let(u.vcpu.load32(S.x87Control).shrU(10).and(3));
      const up = rounding.eq(2).or(above === 1 ? rounding.eqz() : I32.of(0));
      run(u, 'push', u.op, se, I64.of(sig).add(up.extendU()), 0);
    }),
  ),
];

// ---- stores: converted first, then memory is looked at, then exceptions are noted and the value goes out ----

const storing = (u: Semantics, o: Operand, bytes: number, popped: number, put: (host: I32) => void): void =>
  u.writePointer(u.address(o), bytes, (host) => {
    const blocked = askI32(u, 'commitStore', u.op, popped);
    u.code.if(blocked.eqz(), () => put(host));
  });

const storeFloat = (u: Semantics, o: Operand, popped: number): void => {
  const value = askI64(u, o.bits === 32 ? 'storeSingle' : 'storeDouble');
  storing(u, o, o.bits / 8, popped, (host) =>
    o.bits === 32 ? u.code.store32(host, value) : u.code.store64(host, value),
  );
};
const storeInteger = (u: Semantics, o: Operand, popped: number, truncate: number): void => {
  const value = askI64(u, 'storeInteger', o.bits, truncate);
  storing(u, o, o.bits / 8, popped, (host) => {
    if (o.bits === 16) u.code.store16(host, value);
    else if (o.bits === 32) u.code.store32(host, value);
    else u.code.store64(host, value);
  });
};
const storeTenBytes = (u: Semantics, o: Operand, from: 'storeBcd' | 'storeExtended'): void => {
  const low = askI64(u, from);
  const high = u.let(u.vcpu.load32(Result.se));
  storing(u, o, 10, 1, (host) => {
    u.code.store64(host, low);
    u.code.store16(host, high, 8);
  });
};

const stores: Instruction[] = [
  waiting('FST', ['D9 /2 Md', 'DD /2 Mq'], (u, o) => storeFloat(u, o, 0)),
  waiting('FSTP', ['D9 /3 Md', 'DD /3 Mq'], (u, o) => storeFloat(u, o, 1)),
  waiting('FSTP m80', ['DB /7 Mt'], (u, o) => storeTenBytes(u, o, 'storeExtended')),
  waiting('FST STi', [onStack(0xdd, 0xd0)], (u) => run(u, 'copy', u.op, index(u))),
  // DF D0 and DF D8 are undocumented synonyms; D9 D8 is almost one.
  waiting('FSTP1', [onStack(0xd9, 0xd8)], (u) => run(u, 'copyIfFull', u.op, index(u))),
  waiting('FSTP STi', [onStack(0xdd, 0xd8), onStack(0xdf, 0xd0), onStack(0xdf, 0xd8)], (u) =>
    run(u, 'copyAndPop', u.op, index(u)),
  ),
  waiting('FIST', ['DF /2 Mw', 'DB /2 Md'], (u, o) => storeInteger(u, o, 0, 0)),
  waiting('FISTP', ['DF /3 Mw', 'DB /3 Md', 'DF /7 Mq'], (u, o) => storeInteger(u, o, 1, 0)),
  waiting('FISTTP', ['DF /1 Mw', 'DB /1 Md', 'DD /1 Mq'], (u, o) => storeInteger(u, o, 1, 1)),
  waiting('FBSTP', ['DF /6 Mt'], (u, o) => storeTenBytes(u, o, 'storeBcd')),
];

// ---- registers ----

/** FCMOVcc: opcode, first ModRM byte, condition code of Jcc. */
const MOVES = [
  ['FCMOVB', 0xda, 0xc0, 2],
  ['FCMOVE', 0xda, 0xc8, 4],
  ['FCMOVBE', 0xda, 0xd0, 6],
  ['FCMOVU', 0xda, 0xd8, 10],
  ['FCMOVNB', 0xdb, 0xc0, 3],
  ['FCMOVNE', 0xdb, 0xc8, 5],
  ['FCMOVNBE', 0xdb, 0xd0, 7],
  ['FCMOVNU', 0xdb, 0xd8, 11],
] as const;

const registers: Instruction[] = [
  // DD C8 and DF C8 are undocumented synonyms.
  waiting('FXCH', [onStack(0xd9, 0xc8), onStack(0xdd, 0xc8), onStack(0xdf, 0xc8)], (u) =>
    run(u, 'exchange', u.op, index(u)),
  ),
  ...MOVES.map(([name, opcode, modrm, cc]) =>
    waiting(name, [onStack(opcode, modrm)], (u) => {
      const condition = u.let(u.flags.condition(cc));
      run(u, 'move', u.op, index(u), condition);
    }),
  ),
  waiting('FCHS', [exactly(0xd9, 0xe0)], (u) => run(u, 'sign', u.op, 0xffff, 0x8000)),
  waiting('FABS', [exactly(0xd9, 0xe1)], (u) => run(u, 'sign', u.op, 0x7fff, 0)),
  waiting('FSQRT', [exactly(0xd9, 0xfa)], (u) => run(u, 'sqrt', u.op)),
  waiting('FRNDINT', [exactly(0xd9, 0xfc)], (u) => run(u, 'topToInteger', u.op)),
  waiting('FSCALE', [exactly(0xd9, 0xfd)], (u) => run(u, 'scaleTop', u.op)),
  waiting('FPREM', [exactly(0xd9, 0xf8)], (u) => run(u, 'remainderOfTop', u.op, 0)),
  waiting('FPREM1', [exactly(0xd9, 0xf5)], (u) => run(u, 'remainderOfTop', u.op, 1)),
  waiting('FXTRACT', [exactly(0xd9, 0xf4)], (u) => run(u, 'extract', u.op)),
  waiting('FFREE', [onStack(0xdd, 0xc0)], (u) => run(u, 'free', index(u), 0)),
  waiting('FFREEP', [onStack(0xdf, 0xc0)], (u) => run(u, 'free', index(u), 1)),
  waiting('FDECSTP', [exactly(0xd9, 0xf6)], (u) => run(u, 'turn', 7)),
  waiting('FINCSTP', [exactly(0xd9, 0xf7)], (u) => run(u, 'turn', 1)),
  waiting('FNOP', [exactly(0xd9, 0xd0)], () => undefined),
  waiting('FWAIT', ['9B'], () => undefined),
];

const transcendental: Instruction[] = [
  waiting('F2XM1', [exactly(0xd9, 0xf0)], (u) => run(u, 'exponential', u.op)),
  waiting('FYL2X', [exactly(0xd9, 0xf1)], (u) => run(u, 'logarithm', u.op)),
  waiting('FPTAN', [exactly(0xd9, 0xf2)], (u) => run(u, 'tangent', u.op)),
  waiting('FPATAN', [exactly(0xd9, 0xf3)], (u) => run(u, 'angle', u.op)),
  waiting('FYL2XP1', [exactly(0xd9, 0xf9)], (u) => run(u, 'logarithmPlusOne', u.op)),
  waiting('FSINCOS', [exactly(0xd9, 0xfb)], (u) => run(u, 'sineAndCosine', u.op)),
  waiting('FSIN', [exactly(0xd9, 0xfe)], (u) => run(u, 'wave', u.op, 0)),
  waiting('FCOS', [exactly(0xd9, 0xff)], (u) => run(u, 'wave', u.op, 1)),
];

export const x87: InstructionGroup = {
  instructions: [...arithmetic, ...compare, ...loads, ...stores, ...registers, ...transcendental, ...control],
  helpers: X87_HELPERS,
};
