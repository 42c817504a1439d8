import type { Handler } from '../instruction-set.ts';
import { Op } from '../state-layout.ts';
import { type Instruction, type Node, pageOf, type RegionJob } from './job.ts';

/** Limits of a region: beyond them a function takes longer to compile than it saves. */
const MAX_INSTRUCTIONS = 150;
/** Calls that are followed into their function, one inside the other. */
const MAX_DEPTH = 2;
/** Pages of code. */
const MAX_PAGES = 4;

/** What discovery asks of the processor. */
export interface CodeView {
  readonly memory: DataView;
  readonly mode: number;
  /** The interpreter's handler of an operation: its number and what it is; undefined for one that is stale. */
  handlerOf(op: number): { readonly index: number; readonly handler: Handler } | undefined;
  /** First operation of the decoded block at an address relative to the entry's page; 0 when there is none. */
  blockAt(at: number): number;
  /** Host address of the frame at such an address; 0 when it is not mapped. */
  frameAt(at: number): number;
}

/** A call that the region follows: where it returns to, and inside of which other one. */
interface Context {
  readonly id: number;
  readonly depth: number;
  readonly parent: Context | undefined;
  readonly returnTo: number;
}

interface Found {
  readonly instruction: number;
  readonly end: number;
  /** Set for the last instruction of straight-line code. */
  readonly control?: Control;
}
interface Control {
  readonly taken?: Place;
  readonly next?: Place;
  readonly returns?: Place;
}
interface Place {
  readonly context: Context;
  readonly at: number;
}

/** Addresses are within 2 GiB of the entry. */
const CONTEXT = 2 ** 33;
const keyIn = (context: Context, at: number): number => context.id * CONTEXT + at;
const keyOf = ({ context, at }: Place): number => keyIn(context, at);

/** Branches whose target is in the operation: those with a J operand. */
export function isDirectBranch({ instruction }: Handler): boolean {
  let direct = directBranches.get(instruction);
  if (direct === undefined) {
    direct = instruction.forms.some((form) => / J[bz]/.test(form));
    directBranches.set(instruction, direct);
  }
  return direct;
}
const directBranches = new Map<Handler['instruction'], boolean>();

/** Follows direct branches, calls and returns from a block. */
export class Discovery {
  readonly #view: CodeView;
  readonly #found = new Map<number, Found>();
  readonly #leaders = new Map<number, Place>();
  readonly #waiting: Place[] = [];
  readonly #contexts = new Map<string, Context>();
  readonly #ops: number[] = [];
  readonly #handlers: number[] = [];
  readonly #instructions: Instruction[] = [];
  /** By the first operation. */
  readonly #instructionAt = new Map<number, number>();
  readonly #pages = new Map<number, number>();
  /** First operations of the blocks that were read. */
  readonly blocks = new Set<number>();

  constructor(view: CodeView) {
    this.#view = view;
  }

  /** @param original the entry's handler. @returns undefined when the block at `at` (an offset in the entry's page) can not be translated */
  run(at: number, original: number, name: string): RegionJob | undefined {
    const root: Context = { id: 0, depth: 0, parent: undefined, returnTo: 0 };
    const entry: Place = { context: root, at };
    this.#lead(entry);
    for (let place = this.#waiting.shift(); place; place = this.#waiting.shift()) {
      if (this.#instructions.length > MAX_INSTRUCTIONS) break;
      this.#walk(place);
    }
    if (!this.#found.has(keyOf(entry))) return undefined;
    const { memory, mode } = this.#view;
    const ops = new Uint8Array(this.#ops.length * Op.size);
    for (const [i, op] of this.#ops.entries()) ops.set(new Uint8Array(memory.buffer, op, Op.size), i * Op.size);
    return {
      name,
      mode,
      ops,
      addresses: this.#ops,
      handlers: this.#handlers,
      instructions: this.#instructions,
      nodes: this.#nodes(),
      pages: [...this.#pages].map(([offset, host]) => ({ offset, host })),
      original,
    };
  }

  #lead(place: Place): void {
    const key = keyOf(place);
    if (this.#leaders.has(key)) return;
    this.#leaders.set(key, place);
    this.#waiting.push(place);
  }

  /** The code of a page can be part of the region. */
  #admits(at: number): boolean {
    const page = pageOf(at);
    if (page === 0 || this.#pages.has(page)) return true;
    if (this.#pages.size + 1 >= MAX_PAGES) return false;
    const host = this.#view.frameAt(page);
    if (host === 0) return false;
    this.#pages.set(page, host);
    return true;
  }

  /** Reads instructions from a place until one that ends straight-line code, or what was read already. */
  #walk(place: Place): void {
    const { context } = place;
    let { at } = place;
    while (this.#instructions.length <= MAX_INSTRUCTIONS) {
      if (this.#met(context, at) || !this.#admits(at)) return;
      const block = this.#view.blockAt(at);
      if (block === 0) return;
      const after = this.#block(block, context, at);
      if (after === undefined) return;
      at = after;
    }
  }

  /** Straight-line code comes to what was read before: another way leads there. */
  #met(context: Context, at: number): boolean {
    const key = keyIn(context, at);
    if (!this.#found.has(key)) return false;
    this.#leaders.set(key, { context, at });
    return true;
  }

  #frameOf(page: number): number {
    return page === 0 ? this.#view.frameAt(0) : (this.#pages.get(page) ?? 0);
  }

  /** Reads a decoded block. @returns where straight-line code goes on in another block, undefined when it does not */
  #block(block: number, context: Context, start: number): number | undefined {
    const { memory } = this.#view;
    this.blocks.add(block);
    const page = pageOf(start);
    let at = start;
    for (let op = block; ; op += Op.size) {
      if (this.#met(context, at)) return undefined;
      const ops: number[] = [];
      let handler: Handler | undefined;
      for (; ; op += Op.size) {
        const known = this.#view.handlerOf(op);
        if (!known) return undefined;
        const { name } = known.handler.instruction;
        if (name === '(next)') return page + memory.getInt32(op + Op.imm, true);
        if (name === '(cross)') {
          // The instruction's second half: its page has to be mapped as it was when it was decoded.
          if (!this.#admits(page + 4096) || this.#frameOf(page + 4096) !== memory.getUint32(op + Op.imm, true))
            return undefined;
          continue;
        }
        ops.push(op);
        handler = known.handler;
        if (!name.startsWith('(ea')) break;
      }
      if (handler.instruction.name.startsWith('(')) return undefined;
      const length = memory.getUint8(op + Op.len);
      const control = this.#control(handler, op, context, page, at + length);
      const instruction = this.#record(at, ops);
      this.#found.set(keyIn(context, at), { instruction, end: at + length, ...(control ? { control } : {}) });
      if (control) {
        if (control.taken) this.#lead(control.taken);
        if (control.returns) this.#lead(control.returns);
        if (!control.next) return undefined;
        this.#leaders.set(keyOf(control.next), control.next);
      }
      at += length;
    }
  }

  #record(at: number, ops: readonly number[]): number {
    // The same instruction in several contexts is one record.
    const key = ops[0] ?? 0;
    const known = this.#instructionAt.get(key);
    if (known !== undefined) return known;
    const first = this.#ops.length;
    for (const op of ops) {
      this.#ops.push(op);
      this.#handlers.push(this.#view.handlerOf(op)?.index ?? 0);
    }
    this.#instructions.push({ at, first, count: ops.length });
    this.#instructionAt.set(key, this.#instructions.length - 1);
    return this.#instructions.length - 1;
  }

  /** Where control goes after an instruction; undefined for one that only leads to the next. */
  #control(handler: Handler, op: number, context: Context, page: number, end: number): Control | undefined {
    const { instruction } = handler;
    const { memory, mode } = this.#view;
    const place = (to: number, inside = context): Place => ({ context: inside, at: to });
    if (isDirectBranch(handler)) {
      const target = page + memory.getInt32(op + Op.imm, true);
      // Targets that wrap around at 4 GiB, or more than 2 GiB away, are left to the dispatch.
      const near = memory.getInt32(op + Op.imm + 4, true) === memory.getInt32(op + Op.imm, true) >> 31;
      if (instruction.name === 'CALL') return near && mode === 0 ? this.#call(target, context, end) : {};
      const taken = near ? { taken: place(target) } : {};
      return instruction.ends ? taken : { ...taken, next: place(end) };
    }
    if (instruction.name === 'RET' && context.parent)
      return { returns: { context: context.parent, at: context.returnTo } };
    return instruction.ends ? {} : undefined;
  }

  #call(target: number, context: Context, returnTo: number): Control {
    if (context.depth >= MAX_DEPTH || this.#view.blockAt(target) === 0) return {};
    const key = `${context.id}:${returnTo}:${target}`;
    let inside = this.#contexts.get(key);
    if (!inside) {
      inside = { id: this.#contexts.size + 1, depth: context.depth + 1, parent: context, returnTo };
      this.#contexts.set(key, inside);
    }
    return { taken: { context: inside, at: target } };
  }

  /** Cuts what was read at every place that control can come to. */
  #nodes(): Node[] {
    const numbers = new Map<number, number>();
    const places: Place[] = [];
    for (const [key, place] of this.#leaders) {
      if (!this.#found.has(key)) continue;
      numbers.set(key, places.length);
      places.push(place);
    }
    const numberOf = (place: Place | undefined): number | undefined => place && numbers.get(keyOf(place));
    return places.map((place): Node => {
      const instructions: number[] = [];
      let { at } = place;
      for (;;) {
        const found = this.#found.get(keyIn(place.context, at));
        if (!found)
          return { at: place.at, instructions, end: at, taken: undefined, next: undefined, returns: undefined };
        instructions.push(found.instruction);
        at = found.end;
        if (found.control) {
          const { taken, next, returns } = found.control;
          return {
            at: place.at,
            instructions,
            end: at,
            taken: numberOf(taken),
            next: numberOf(next),
            returns: numberOf(returns),
          };
        }
        const next = numbers.get(keyIn(place.context, at));
        if (next !== undefined)
          return { at: place.at, instructions, end: at, taken: undefined, next, returns: undefined };
      }
    });
  }
}
