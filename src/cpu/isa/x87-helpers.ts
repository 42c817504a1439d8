import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { ValType } from '../wasm/value.ts';
import type { Helper } from '../instruction-set.ts';
import { defineFloat80 } from './float80-all.ts';
import { defineX87Arithmetic } from './x87-arithmetic.ts';
import { defineX87Environment } from './x87-environment.ts';
import { defineX87Load } from './x87-load.ts';
import { defineX87Transcendental } from './x87-transcendental.ts';
import { defineX87Stack, moveTop, pop, Register, setCodes } from './x87-stack.ts';
import { Status } from './float80.ts';

const { i32 } = ValType;

/** All functions that handlers call. */
function define(m: ModuleBuilder) {
  const f = defineFloat80(m);
  const stack = defineX87Stack(m);
  const environment = defineX87Environment(m);
  const arithmetic = defineX87Arithmetic(m, f, stack);
  const load = defineX87Load(m, f, stack);
  const transcendental = defineX87Transcendental(m, f, stack);
  return {
    ...load,
    fromBcd: f.fromBcd,
    push: stack.push,
    pushResult: stack.pushResult,
    pushRegister: stack.pushRegister,
    copy: stack.copy,
    copyAndPop: stack.copyAndPop,
    copyIfFull: stack.copyIfFull,
    exchange: stack.exchange,
    move: stack.move,
    sign: stack.sign,
    examine: stack.examine,
    commitStore: stack.commitStore,
    binaryRegister: arithmetic.binaryRegister,
    binarySingle: arithmetic.binarySingle,
    binaryDouble: arithmetic.binaryDouble,
    binaryInteger: arithmetic.binaryInteger,
    compare: arithmetic.compare,
    compareRegister: arithmetic.compareRegister,
    compareSingle: arithmetic.compareSingle,
    compareDouble: arithmetic.compareDouble,
    compareInteger: arithmetic.compareInteger,
    sqrt: arithmetic.sqrt,
    topToInteger: arithmetic.roundToInteger,
    scaleTop: arithmetic.scale,
    remainderOfTop: arithmetic.remainder,
    extract: arithmetic.extract,
    storeSingle: arithmetic.storeSingle,
    storeDouble: arithmetic.storeDouble,
    storeInteger: arithmetic.storeInteger,
    storeBcd: arithmetic.storeBcd,
    storeExtended: arithmetic.storeExtended,
    ...transcendental,
    status: environment.status,
    setControl: environment.setControl,
    initialize: environment.initialize,
    clearExceptions: environment.clearExceptions,
    storeEnvironment16: environment.storeEnvironment[16],
    storeEnvironment32: environment.storeEnvironment[32],
    loadEnvironment16: environment.loadEnvironment[16],
    loadEnvironment32: environment.loadEnvironment[32],
    storeRegisters: environment.storeRegisters,
    loadRegisters: environment.loadRegisters,
    /** (vcpu, i, popped): FFREE and FFREEP */
    free: m.function('x87Free', [i32, i32, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      new Register(c, vcpu, c.param(i32, 1)).free();
      setCodes(c, vcpu, 0, Status.C1);
      c.if(c.param(i32, 2), () => pop(c, vcpu));
    }),
    /** (vcpu, by): FINCSTP and FDECSTP */
    turn: m.function('x87Turn', [i32, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      moveTop(c, vcpu, c.param(i32, 1));
      setCodes(c, vcpu, 0, Status.C1);
    }),
  } satisfies Record<string, Fn>;
}

export type X87HelperName = keyof ReturnType<typeof define>;

const NAMES: readonly X87HelperName[] = [
  'loadSingle',
  'loadDouble',
  'loadInteger',
  'fromBcd',
  'push',
  'pushResult',
  'pushRegister',
  'copy',
  'copyAndPop',
  'copyIfFull',
  'exchange',
  'move',
  'sign',
  'examine',
  'commitStore',
  'binaryRegister',
  'binarySingle',
  'binaryDouble',
  'binaryInteger',
  'compare',
  'compareRegister',
  'compareSingle',
  'compareDouble',
  'compareInteger',
  'sqrt',
  'topToInteger',
  'scaleTop',
  'remainderOfTop',
  'extract',
  'storeSingle',
  'storeDouble',
  'storeInteger',
  'storeBcd',
  'storeExtended',
  'status',
  'setControl',
  'initialize',
  'clearExceptions',
  'storeEnvironment16',
  'storeEnvironment32',
  'loadEnvironment16',
  'loadEnvironment32',
  'storeRegisters',
  'loadRegisters',
  'free',
  'turn',
  'wave',
  'sineAndCosine',
  'tangent',
  'exponential',
  'angle',
  'logarithm',
  'logarithmPlusOne',
];

/** They are defined together, once for each module, whichever is asked for first. */
const defined = new WeakMap<ModuleBuilder, ReturnType<typeof define>>();
function helpersOf(m: ModuleBuilder): ReturnType<typeof define> {
  const known = defined.get(m);
  if (known) return known;
  const made = define(m);
  defined.set(m, made);
  return made;
}

export const X87_HELPERS: readonly Helper[] = NAMES.map((name) => ({
  name: `x87.${name}`,
  define: (m) => helpersOf(m)[name],
}));
