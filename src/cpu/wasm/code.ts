import { Bytes } from './bytes.ts';
import {
  copyType,
  I32,
  I64,
  instruction,
  keepFacts,
  make,
  type V128,
  type Value,
  type ValType,
  type ValueOf,
} from './value.ts';

/** A function of the module under construction. */
export interface Fn<R extends ValType | undefined = ValType | undefined> {
  readonly index: number;
  readonly params: readonly ValType[];
  readonly result: R;
}

/** A local that is assigned more than once. */
export interface Variable<T extends Value> {
  readonly get: T;
  set(value: T): void;
}

const VOID = 0x40;

/** Which way a condition mostly goes (branch hinting proposal). */
export type Hint = 'likely' | 'unlikely';

/** The finished body of a function: local declarations, code, end; and the conditions with a hint, by their offsets in it. */
export interface Body {
  readonly bytes: Bytes;
  readonly hints: readonly BranchHint[];
}
interface BranchHint {
  readonly at: number;
  readonly likely: boolean;
}

/** The body of one function: statements are written out as they are made. */
export class Code {
  #out = new Bytes();
  readonly #front = new Bytes();
  readonly #params: readonly ValType[];
  readonly #locals: ValType[] = [];
  #hints: BranchHint[] = [];
  #frontHints: readonly BranchHint[] = [];
  #depth = 0;
  /** Locals that can be used again, by type. */
  readonly #free = new Map<ValType, number[]>();
  /** Those that belong to the stretch or step being written; undefined where locals are for good. */
  #owned: number[] | undefined;

  /** How many blocks the code being written lies in. */
  get depth(): number {
    return this.#depth;
  }

  constructor(params: readonly ValType[]) {
    this.#params = params;
  }

  /** Statements in front of all that was written so far; once. */
  inFront(write: () => void): void {
    const [body, hints] = [this.#out, this.#hints];
    [this.#out, this.#hints] = [new Bytes(), []];
    write();
    this.#front.append(this.#out);
    this.#frontHints = this.#hints;
    [this.#out, this.#hints] = [body, hints];
  }

  param<T extends ValType>(type: T, index: number): ValueOf<T> {
    if (this.#params[index] !== type) throw new Error(`parameter ${index} has another type`);
    return this.#get(type, index);
  }

  /** Computes a value once, here; the result can be used any number of times. */
  let<T extends Value>(value: T): T {
    // A constant, or a local already, is its own name.
    if (value.local !== undefined || ((value instanceof I32 || value instanceof I64) && value.known !== undefined))
      return value;
    const index = this.#local(value.type);
    this.#set(index, value);
    const local = copyType(value, localGet(index), []);
    local.local = index;
    keepFacts(value, local);
    return local;
  }

  /** A variable that begins as this value. */
  copy<T extends Value>(value: T): Variable<T> {
    const index = this.#local(value.type);
    this.#set(index, value);
    return { get: copyType(value, localGet(index), []), set: (next) => this.#set(index, next) };
  }

  variable<T extends ValType>(type: T, initial?: ValueOf<T>): Variable<ValueOf<T>> {
    const index = this.#local(type);
    if (initial) this.#set(index, initial);
    return { get: this.#get(type, index), set: (value) => this.#set(index, value) };
  }

  /** A variable for the whole function, whatever stretch it is made in. */
  lasting<T extends ValType>(type: T): Variable<ValueOf<T>> {
    const index = this.#newLocal(type);
    return { get: this.#get(type, index), set: (value) => this.#set(index, value) };
  }

  /**
   * Code whose locals serve others after it. It consists of steps: the locals of one serve the next, but for those of the values that `kept` names when a step has been
   * written. Compilers' work grows with the number of locals.
   */
  stretch(write: (step: (write: () => void, kept: () => Iterable<Value>) => void) => void): void {
    const outer = this.#owned;
    let held: number[] = [];
    write((body, kept) => {
      this.#owned = [];
      body();
      const made = [...held, ...this.#owned];
      this.#owned = undefined;
      const keep = new Set<number | undefined>();
      for (const { local } of kept()) keep.add(local);
      held = made.filter((index) => keep.has(index));
      for (const index of made) if (!keep.has(index)) this.#release(index);
    });
    for (const index of held) this.#release(index);
    this.#owned = outer;
  }

  /** An `unlikely` arm costs the code around it nothing: what it needs saved is saved in it. */
  if(condition: I32, then: () => void, otherwise?: () => void, hint?: Hint): void {
    if (condition.known !== undefined) {
      if (condition.known !== 0) then();
      else otherwise?.();
      return;
    }
    condition.emit(this.#out);
    if (hint) this.#hints.push({ at: this.#out.length, likely: hint === 'likely' });
    this.#open(0x04, then, otherwise);
  }

  /** `leave()` continues after the block. */
  block(body: (leave: () => void, leaveIf: (condition: I32) => void) => void): void {
    const target = this.#depth;
    this.#open(0x02, () =>
      body(
        () => this.#branch(0x0c, target),
        (condition) => {
          condition.emit(this.#out);
          this.#branch(0x0d, target);
        },
      ),
    );
  }

  /** Does what `body` writes unless one of the conditions in it holds: then, from there on, `otherwise` instead. */
  attempt(body: (failIf: (condition: I32) => void) => void, otherwise: () => void): void {
    this.block((done) => {
      const target = this.#depth;
      this.#open(0x02, () => {
        body((condition) => {
          if (condition.known === 0) return;
          condition.emit(this.#out);
          this.#hints.push({ at: this.#out.length, likely: false });
          this.#branch(0x0d, target);
        });
        done();
      });
      otherwise();
    });
  }

  /** `again()` starts the loop anew; falling through the end leaves it. */
  loop(body: (again: () => void, againIf: (condition: I32) => void) => void): void {
    const target = this.#depth;
    this.#open(0x03, () =>
      body(
        () => this.#branch(0x0c, target),
        (condition) => {
          condition.emit(this.#out);
          this.#branch(0x0d, target);
        },
      ),
    );
  }

  while(condition: () => I32, body: () => void): void {
    this.block((leave, leaveIf) => {
      void leave;
      this.loop((again) => {
        leaveIf(condition().eqz());
        body();
        again();
      });
    });
  }

  /** One of `cases` by an index from 0; any other index runs `otherwise`. */
  switch(index: I32, cases: readonly (() => void)[], otherwise: () => void): void {
    this.block((done) => {
      const nest = (n: number): void => {
        if (n < 0) {
          index.emit(this.#out);
          this.#out.byte(0x0e);
          this.#out.u32(cases.length);
          for (let i = 0; i <= cases.length; i++) this.#out.u32(i);
          return;
        }
        this.#open(0x02, () => nest(n - 1));
        (n < cases.length ? cases[n] : otherwise)?.();
        if (n < cases.length) done();
      };
      nest(cases.length);
    });
  }

  return(value?: Value): void {
    value?.emit(this.#out);
    this.#out.byte(0x0f);
  }

  unreachable(): void {
    this.#out.byte(0x00);
  }

  /** A call as a statement; its result, if any, is dropped. */
  do(fn: Fn, ...args: readonly Value[]): void {
    for (const arg of args) arg.emit(this.#out);
    this.#out.all(callOf(fn));
    if (fn.result !== undefined) this.#out.byte(0x1a);
  }

  /** A call as a value. It happens where the value is used: `let` it. */
  call<R extends ValType>(fn: Fn<R>, ...args: readonly Value[]): ValueOf<R> {
    if (args.length !== fn.params.length) throw new Error('wrong number of arguments');
    return make(fn.result, callOf(fn), args);
  }

  returnCall(fn: Fn, ...args: readonly Value[]): void {
    for (const arg of args) arg.emit(this.#out);
    this.#out.byte(0x12);
    this.#out.u32(fn.index);
  }

  returnCallIndirect(typeIndex: number, index: I32, ...args: readonly Value[]): void {
    for (const arg of args) arg.emit(this.#out);
    index.emit(this.#out);
    this.#out.byte(0x13);
    this.#out.u32(typeIndex);
    this.#out.u32(0);
  }

  store8(address: I32, value: I32 | I64, offset = 0): void {
    this.#store(value instanceof I32 ? [0x3a] : [0x3c], address, value, offset);
  }
  store16(address: I32, value: I32 | I64, offset = 0): void {
    this.#store(value instanceof I32 ? [0x3b] : [0x3d], address, value, offset);
  }
  store32(address: I32, value: I32 | I64, offset = 0): void {
    this.#store(value instanceof I32 ? [0x36] : [0x3e], address, value, offset);
  }
  store64(address: I32, value: I64, offset = 0): void {
    this.#store([0x37], address, value, offset);
  }
  storeV128(address: I32, value: V128, offset = 0): void {
    this.#store([0xfd, 0x0b], address, value, offset);
  }
  memoryCopy(to: I32, from: I32, length: I32): void {
    for (const arg of [to, from, length]) arg.emit(this.#out);
    for (const byte of [0xfc, 0x0a, 0, 0]) this.#out.byte(byte);
  }
  memoryFill(at: I32, byte: I32, length: I32): void {
    for (const arg of [at, byte, length]) arg.emit(this.#out);
    for (const code of [0xfc, 0x0b, 0]) this.#out.byte(code);
  }
  /** Evaluates for the effect alone. */
  drop(value: Value): void {
    value.emit(this.#out);
    this.#out.byte(0x1a);
  }

  finish(): Body {
    const body = new Bytes();
    // Equal types are declared in runs.
    const runs: { type: ValType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    body.u32(runs.length);
    for (const run of runs) {
      body.u32(run.count);
      body.byte(run.type);
    }
    const front = body.length;
    body.append(this.#front);
    const start = body.length;
    body.append(this.#out);
    body.byte(0x0b);
    const moved = (by: number, hints: readonly BranchHint[]): BranchHint[] =>
      hints.map(({ at, likely }) => ({ at: by + at, likely }));
    return { bytes: body, hints: [...moved(front, this.#frontHints), ...moved(start, this.#hints)] };
  }

  #local(type: ValType): number {
    const index = (this.#owned && this.#free.get(type)?.pop()) ?? this.#newLocal(type);
    this.#owned?.push(index);
    return index;
  }

  #newLocal(type: ValType): number {
    this.#locals.push(type);
    return this.#params.length + this.#locals.length - 1;
  }

  #release(index: number): void {
    const type = this.#locals[index - this.#params.length];
    if (type === undefined) throw new Error(`no local ${index}`);
    const free = this.#free.get(type);
    if (free) free.push(index);
    else this.#free.set(type, [index]);
  }

  #get<T extends ValType>(type: T, index: number): ValueOf<T> {
    return make(type, localGet(index), []);
  }

  #set(index: number, value: Value): void {
    value.emit(this.#out);
    this.#out.localSet(index);
  }

  #open(opcode: number, body: () => void, otherwise?: () => void): void {
    this.#out.byte(opcode);
    this.#out.byte(VOID);
    this.#depth++;
    body();
    if (otherwise) {
      this.#out.byte(0x05);
      otherwise();
    }
    this.#depth--;
    this.#out.byte(0x0b);
  }

  #branch(opcode: number, target: number): void {
    this.#out.byte(opcode);
    this.#out.u32(this.#depth - target - 1);
  }

  #store(opcode: readonly number[], address: I32, value: Value, offset: number): void {
    const at = address.located(offset);
    at.base.emit(this.#out);
    value.emit(this.#out);
    this.#out.all(opcode);
    this.#out.u32(0);
    this.#out.u32(at.offset);
  }
}

const localGets: (readonly number[])[] = [];
const localGet = (index: number): readonly number[] =>
  (localGets[index] ??= instruction((o) => {
    o.byte(0x20);
    o.u32(index);
  }));

const callOf = (fn: Fn): number[] =>
  instruction((o) => {
    o.byte(0x10);
    o.u32(fn.index);
  });
