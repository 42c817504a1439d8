import type { Code, Fn } from './wasm/code.ts';
import { ModuleBuilder } from './wasm/module.ts';
import { ValType } from './wasm/value.ts';
import { defineDispatch, type Dispatch } from './dispatch.ts';
import {
  dependsOnWidth,
  type Form,
  modKinds,
  type OperandLetter,
  opcodesOf,
  operandOf,
  parseForm,
  sizeOf,
} from './form.ts';
import { definePaging, type Paging } from './paging.ts';
import { type Operand, Semantics, type Services, type Variant } from './semantics.ts';
import { defineSiblings } from './siblings.ts';

/** An instruction: its encodings, and its meaning written once. */
export interface Instruction {
  readonly name: string;
  /** Encoding rows, see `parseForm`. */
  readonly forms: readonly string[];
  /** LOCK is allowed on memory destinations. */
  readonly lock?: boolean;
  /** The meaning depends on 64-bit or compatibility mode (stack and RIP width): `u.mode`. */
  readonly perMode?: boolean;
  /** Implicit memory operands: the meaning depends on the address size: `u.addressSize`. */
  readonly perAddress?: boolean;
  /** REP and REPNE prefixes mean something (`u.rep`): the same (`count`), or different conditions to stop (`compare`). */
  readonly rep?: 'count' | 'compare';
  /** Sets flags again and again, in a loop, or has a helper set them: in the state itself. */
  readonly flagsInLoop?: boolean;
  /** Uses the stack by itself: a non-canonical stack pointer is #SS. */
  readonly stack?: boolean;
  /** Frequent with an address of base and displacement alone: that gets a handler of its own. */
  readonly common?: boolean;
  /** Ends a block: a branch or an exit. */
  readonly ends?: boolean;
  /** Emits the meaning. Either falls through (the next instruction follows) or ends every path itself and calls `u.end()`. */
  readonly build: (u: Semantics, ...operands: [Operand, Operand, Operand, Operand]) => void;
}

/** A WebAssembly function that definitions share, by name. Registered before the instructions are built. */
export interface Helper {
  readonly name: string;
  define(m: ModuleBuilder, services: HelperServices): Fn;
}
export interface HelperServices {
  readonly paging: Paging;
  readonly dispatch: Dispatch;
  readonly helper: (name: string) => Fn;
}

export interface InstructionGroup {
  readonly instructions: readonly Instruction[];
  readonly helpers?: readonly Helper[];
}

/** Variant numbers of a form: which handler for which prefixes. */
export const variantNumber = (
  width: number,
  mod: 'r' | 'm',
  lock: boolean,
  rep: number,
  mode: 64 | 32,
  address: 64 | 32,
): number =>
  (mode === 32 ? PER_MODE : 0) +
  (width === 64 ? 2 : width === 32 ? 1 : 0) * PER_WIDTH +
  (((mod === 'm' ? 2 : 0) + (lock ? 1 : 0)) * 3 + rep) * 2 +
  (address === 32 ? 1 : 0);
const PER_WIDTH = 24;
const PER_MODE = 3 * PER_WIDTH;
const VARIANTS = 2 * PER_MODE;
const NO_HANDLER = -1;

const REPS = ['none', 'rep', 'repne'] as const;
const WIDTHS = [16, 32, 64] as const;
const MODES = [64, 32] as const;
const NO_REP = ['none'] as const;
const NEITHER = [false] as const;
const BOTH = [false, true] as const;

/** One encoding row with its handlers. */
export interface Encoding {
  readonly form: Form;
  readonly instruction: Instruction;
  /** By `variantNumber`: table index of the handler; negative where the variant does not exist. */
  readonly handlers: Int16Array;
}

/** The interpreter in WebAssembly's binary format. */
export interface GeneratedModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** By function index, for profiles. */
  readonly functionNames: readonly string[];
}

export interface InstructionSet {
  generate(): GeneratedModule;
  /** What a handler's code is made of, by table index. */
  readonly handlers: readonly Handler[];
  /** The interpreter's functions for another module, which imports those that it uses. */
  importServices(m: ModuleBuilder): Services;
  /** [map][opcode] → rows, the first that matches counts. */
  readonly encodings: readonly (readonly (readonly Encoding[])[])[];
  readonly instructions: readonly Instruction[];
  /** Handler by table index, as instruction/width:operands. */
  readonly handlerNames: readonly string[];
  /** handler → the one for an address without index and segment */
  readonly simple: ReadonlyMap<number, number>;
  handler(name: string): number;
}

/**
 * The decoder's tables and, when it is asked for, the interpreter's module. A thread that gets the compiled module from another one makes the tables only: both
 * number the handlers in the order of the definitions.
 */
export function buildInstructionSet(groups: readonly InstructionGroup[], internal: InstructionGroup): InstructionSet {
  const registry = new HandlerRegistry();
  for (const instruction of internal.instructions) registry.handlerFor(instruction, PLAIN, []);
  const encodings: Encoding[][][] = Array.from({ length: 7 }, () => Array.from({ length: 256 }, () => []));
  const instructions = groups.flatMap((g) => g.instructions);
  const forms = instructions.reduce((sum, instruction) => sum + instruction.forms.length, 0);
  const table = new Int16Array(forms * VARIANTS).fill(NO_HANDLER);
  let at = 0;
  const names = new Set<string>();
  for (const { name } of instructions) {
    if (names.has(name)) throw new Error(`two instructions are named ${name}`);
    names.add(name);
  }
  for (const instruction of instructions) {
    for (const text of instruction.forms) {
      const encoding = encode(instruction, parseForm(text), registry, table.subarray(at, (at += VARIANTS)));
      for (const opcode of opcodesOf(encoding.form)) encodings[encoding.form.map]?.[opcode]?.push(encoding);
    }
  }
  for (const map of encodings) for (const rows of map) rows.sort((x, y) => specificity(y.form) - specificity(x.form));
  const simple = registry.addSimpleAddresses();
  let signatures: Signatures | undefined;
  return {
    encodings,
    instructions,
    simple,
    handlerNames: registry.handlers.map((h) => h.key),
    handler: (name) => registry.named(name),
    generate: () => generate(registry.handlers, [internal, ...groups]),
    handlers: registry.handlers,
    importServices: (m) => importServices(m, (signatures ??= signaturesOf([internal, ...groups]))),
  };
}

/** Writes the module: functions that translate addresses and dispatch, the definitions' helpers, and a function for each handler. */
function generate(handlers: readonly Handler[], groups: readonly InstructionGroup[]): GeneratedModule {
  const m = new ModuleBuilder();
  const services = defineServices(m, groups);
  for (const handler of handlers)
    m.tabulate(
      m.function(handler.key, [ValType.i32, ValType.i32], ValType.i32, (code) => handler.write(code, services)),
    );
  for (const [name, fn] of namedFunctions(services)) m.export(name, fn);
  m.exportTable('handlers');
  return { bytes: m.encode(), functionNames: m.names() };
}

/** Everything but the handlers: address translation, dispatch, and what the groups' definitions share. */
function defineServices(m: ModuleBuilder, groups: readonly InstructionGroup[]): Services {
  const codeWritten = m.import('codeWritten', [ValType.i32, ValType.i32], undefined);
  const now = m.import('now', [], ValType.f64);
  const random = m.import('random', [], ValType.i32);
  const codeWrittenElsewhere = m.import('codeWrittenElsewhere', [ValType.i32, ValType.i32], undefined);
  const siblings = defineSiblings(m, codeWrittenElsewhere);
  const paging = definePaging(m, codeWritten, siblings);
  const dispatch = defineDispatch(m, paging);
  const helpers = new Map<string, Fn>([
    ['now', now],
    ['random', random],
  ]);
  const helper = (name: string): Fn => {
    const fn = helpers.get(name);
    if (!fn) throw new Error(`no helper ${name}`);
    return fn;
  };
  for (const group of groups)
    for (const h of group.helpers ?? []) helpers.set(h.name, h.define(m, { paging, dispatch, helper }));
  return { paging, siblings, dispatch, helpers };
}

/** All functions of the services under the names that a module exports and another one imports them by. */
function namedFunctions({ paging, siblings, dispatch, helpers }: Services): (readonly [name: string, fn: Fn])[] {
  const { handlerType: _, ...functions } = dispatch;
  const groups = [paging, siblings, functions];
  return [...groups.flatMap((group) => Object.entries(group)), ...helpers] as (readonly [string, Fn])[];
}

type Signatures = ReadonlyMap<string, Fn>;

function signaturesOf(groups: readonly InstructionGroup[]): Signatures {
  return new Map(namedFunctions(defineServices(new ModuleBuilder(), groups)));
}

function importServices(m: ModuleBuilder, signatures: Signatures): Services {
  const all = new Map<string, Fn>();
  for (const [name, { params, result }] of signatures) all.set(name, m.importOnUse(name, params, result));
  const functions = Object.fromEntries(all);
  return {
    paging: functions as unknown as Services['paging'],
    siblings: functions as unknown as Services['siblings'],
    dispatch: {
      ...functions,
      handlerType: m.type([ValType.i32, ValType.i32], ValType.i32),
    } as unknown as Services['dispatch'],
    helpers: all,
  };
}

/** All handlers, numbered in the order in which they are asked for. */
class HandlerRegistry {
  readonly handlers: Handler[] = [];
  readonly #index = new Map<string, number>();

  handlerFor(instruction: Instruction, variant: Variant, operands: readonly Operand[]): number {
    const key = handlerKey(instruction, variant, operands);
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    const index = this.handlers.push(new Handler(key, instruction, variant, operands)) - 1;
    this.#index.set(key, index);
    return index;
  }

  named(name: string): number {
    const index = this.#index.get(handlerKey({ name }, PLAIN, []));
    if (index === undefined) throw new Error(`no handler ${name}`);
    return index;
  }

  addSimpleAddresses(): Map<number, number> {
    const simple = new Map<number, number>();
    const count = this.handlers.length;
    for (let index = 0; index < count; index++) {
      const handler = this.handlers[index];
      if (!handler?.instruction.common || handler.variant.lock || !handler.operands.some((o) => o.kind === 'm'))
        continue;
      simple.set(index, this.handlers.push(handler.withSimpleAddress()) - 1);
    }
    return simple;
  }
}

export class Handler {
  readonly key: string;
  readonly instruction: Instruction;
  readonly variant: Variant;
  readonly operands: readonly Operand[];
  readonly #simpleAddress: boolean;

  constructor(
    key: string,
    instruction: Instruction,
    variant: Variant,
    operands: readonly Operand[],
    simpleAddress = false,
  ) {
    this.key = key;
    this.instruction = instruction;
    this.variant = variant;
    this.operands = operands;
    this.#simpleAddress = simpleAddress;
  }

  withSimpleAddress(): Handler {
    return new Handler(`${this.key}+simple`, this.instruction, this.variant, this.operands, true);
  }

  write(code: Code, services: Services): void {
    const u = new Semantics(code, this.variant, this.operands, services, { simpleAddress: this.#simpleAddress });
    buildHandler(u, this);
    u.finish();
  }
}

/** A definition takes as many operands as its forms give; the missing ones are never looked at. */
export function buildHandler(u: Semantics, { instruction, operands: [a, b, c, d] }: Handler): void {
  u.begin();
  instruction.build(u, a ?? NONE, b ?? NONE, c ?? NONE, d ?? NONE);
}

const NONE: Operand = { kind: 'i', bits: 0, position: 3 };
const PLAIN: Variant = { width: 64, mode: 64, address: 64, lock: false, rep: 'none' };

/** More specific rows are tried first: exact ModRM before /digit before /r, a mandatory prefix before none. */
const specificity = (form: Form): number =>
  (form.exact >= 0 ? 16 + (form.exactCount === 1 ? 1 : 0) : form.digit >= 0 ? 8 : 0) +
  (form.prefix === 'any' ? 0 : form.prefix === 'NFx' ? 2 : 4) +
  (form.w === undefined && !form.noRexB ? 0 : 1);

function handlerKey({ name }: Pick<Instruction, 'name'>, v: Variant, operands: readonly Operand[]): string {
  let key = `${name}/${v.width}:`;
  for (const [i, { kind, bits }] of operands.entries()) key += `${i === 0 ? '' : ','}${kind}${bits}`;
  if (v.mode === 32) key += '@32';
  if (v.address === 32) key += '@a32';
  if (v.lock) key += '+lock';
  return v.rep === 'none' ? key : `${key}+${v.rep}`;
}

/** Each thread does this for a thousand rows before it has a decoder: what is known to be equal is not asked for again. */
function encode(instruction: Instruction, form: Form, registry: HandlerRegistry, handlers: Int16Array): Encoding {
  const perWidth = dependsOnWidth(form);
  const reps = instruction.rep ? REPS : NO_REP;
  for (const mode of MODES) {
    if (form.modes !== 'both' && form.modes !== String(mode)) continue;
    const ofMode = variantNumber(16, 'r', false, 0, mode, 64);
    if (mode === 32 && !instruction.perMode && form.modes === 'both') {
      handlers.copyWithin(ofMode, 0, 2 * PER_WIDTH);
      continue;
    }
    let first = -1;
    for (const [w, width] of WIDTHS.entries()) {
      if ((width === 64 && mode === 32) || (form.w === 1 && width !== 64)) continue;
      if (first >= 0 && !perWidth) {
        const from = ofMode + first * PER_WIDTH;
        handlers.copyWithin(ofMode + w * PER_WIDTH, from, from + PER_WIDTH);
        continue;
      }
      first = w;
      for (const mod of modKinds(form)) {
        const operands = form.operands.map((spec, i) => operandOf(spec, i, width, mod));
        const [operand] = operands;
        const [spec] = form.operands;
        const effective = !perWidth && operand && spec ? normalWidth(operand, spec.letter, sizeOf(spec, width)) : width;
        for (const lock of instruction.lock && operand?.kind === 'm' ? BOTH : NEITHER) {
          for (const [repNumber, rep] of reps.entries()) {
            for (const address of MODES) {
              const at = variantNumber(width, mod, lock, repNumber, mode, address);
              handlers[at] =
                address === 32 && !instruction.perAddress
                  ? (handlers[at - 1] ?? NO_HANDLER)
                  : registry.handlerFor(
                      instruction,
                      {
                        width: effective,
                        mode: instruction.perMode ? mode : 64,
                        address: instruction.perAddress ? address : 64,
                        lock,
                        rep: rep === 'repne' && instruction.rep === 'count' ? 'rep' : rep,
                      },
                      operands,
                    );
            }
          }
        }
      }
    }
  }
  return { form, instruction, handlers };
}

/** Forms whose operands have fixed sizes do not multiply by operand size. */
const normalWidth = (first: Operand, letter: OperandLetter, bits: number): number =>
  first.kind === 'r' || first.kind === 'm' || letter === 'X' ? bits : 32;
