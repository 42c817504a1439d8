import { Bytes } from './bytes.ts';
import { type Body, Code, type Fn } from './code.ts';
import type { ValType } from './value.ts';

interface FunctionType {
  readonly params: readonly ValType[];
  readonly result: ValType | undefined;
}

/** Memory limits of a 32-bit shared memory: the import must declare a maximum (threads proposal, "Shared memory"). */
const MAX_PAGES = 65536;

/** A WebAssembly module under construction: one imported shared memory, imported functions, own functions, one table. */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #typeOf = new Map<string, number>();
  readonly #imports: { name: string; type: number }[] = [];
  readonly #functions: { type: number; body: Body | undefined; name: string }[] = [];
  readonly #exports: { name: string; fn: Fn }[] = [];
  readonly #table: Fn[] = [];
  readonly #tableImported: boolean;
  readonly #hinted: boolean;
  #tableName: string | undefined;

  /**
   * @param o.table `imported` as env.handlers, or the module's own
   * @param o.hinted with the section that tells which way conditions mostly go: a few bytes for each
   */
  constructor(o: { readonly table: 'own' | 'imported'; readonly hinted?: boolean } = { table: 'own' }) {
    this.#tableImported = o.table === 'imported';
    this.#hinted = o.hinted ?? false;
  }

  type(params: readonly ValType[], result?: ValType): number {
    const key = `${params.join()}:${result ?? ''}`;
    const known = this.#typeOf.get(key);
    if (known !== undefined) return known;
    this.#types.push({ params, result });
    this.#typeOf.set(key, this.#types.length - 1);
    return this.#types.length - 1;
  }

  /** An imported function `env.name`. All imports come before the first own function. */
  import<R extends ValType | undefined>(name: string, params: readonly ValType[], result: R): Fn<R> {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    this.#imports.push({ name, type: this.type(params, result) });
    return { index: this.#imports.length - 1, params, result };
  }

  /** A function that is imported once something refers to it: for modules whose functions do not refer to each other. */
  importOnUse<R extends ValType | undefined>(name: string, params: readonly ValType[], result: R): Fn<R> {
    let index: number | undefined;
    const use = (): number => this.#imports.push({ name, type: this.type(params, result) }) - 1;
    return {
      params,
      result,
      get index() {
        return (index ??= use());
      },
    };
  }

  /** Its index counts from the last import on. */
  declare<R extends ValType | undefined>(name: string, params: readonly ValType[], result: R): Fn<R> {
    const imports = this.#imports;
    const position = this.#functions.push({ type: this.type(params, result), body: undefined, name }) - 1;
    return {
      params,
      result,
      get index() {
        return imports.length + position;
      },
    };
  }

  define(fn: Fn, write: (code: Code) => void): void {
    const slot = this.#functions[fn.index - this.#imports.length];
    if (!slot || slot.body) throw new Error('a function is declared first and defined once');
    const code = new Code(fn.params);
    write(code);
    slot.body = code.finish();
  }

  function<R extends ValType | undefined>(
    name: string,
    params: readonly ValType[],
    result: R,
    write: (code: Code) => void,
  ): Fn<R> {
    const fn = this.declare(name, params, result);
    this.define(fn, write);
    return fn;
  }

  export(name: string, fn: Fn): void {
    this.#exports.push({ name, fn });
  }

  exportTable(name: string): void {
    this.#tableName = name;
  }

  /** Puts a function into the table; returns its index there. */
  tabulate(fn: Fn): number {
    this.#table.push(fn);
    return this.#table.length - 1;
  }

  /** The module in the binary format (core specification, "Modules"). */
  encode(): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    section(out, 1, this.#types, (s, type) => {
      s.byte(0x60);
      s.u32(type.params.length);
      for (const param of type.params) s.byte(param);
      s.u32(type.result === undefined ? 0 : 1);
      if (type.result !== undefined) s.byte(type.result);
    });
    const others = this.#tableImported ? ['memory', 'table'] : ['memory'];
    section(out, 2, [...others, ...this.#imports], (s, fn) => {
      s.name('env');
      if (fn === 'table') {
        s.name('handlers');
        for (const byte of [1, 0x70, 0, 0]) s.byte(byte);
      } else if (typeof fn !== 'string') {
        s.name(fn.name);
        s.byte(0);
        s.u32(fn.type);
      } else {
        s.name('memory');
        s.byte(2);
        s.byte(3);
        s.u32(1);
        s.u32(MAX_PAGES);
      }
    });
    section(out, 3, this.#functions, (s, fn) => s.u32(fn.type));
    section(out, 4, this.#tableImported ? [] : [this.#table.length], (s, size) => {
      s.byte(0x70);
      s.byte(0);
      s.u32(size);
    });
    const exports = this.#exports.map(({ name, fn }) => ({ name, index: fn.index, kind: 0 }));
    if (this.#tableName !== undefined) exports.push({ name: this.#tableName, index: 0, kind: 1 });
    section(out, 7, exports, (s, item) => {
      s.name(item.name);
      s.byte(item.kind);
      s.u32(item.index);
    });
    section(out, 9, this.#tableImported ? [] : [this.#table], (s, table) => {
      for (const byte of [0, 0x41, 0, 0x0b]) s.byte(byte);
      s.u32(table.length);
      for (const fn of table) s.u32(fn.index);
    });
    if (this.#hinted) this.#branchHints(out);
    section(out, 10, this.#functions, (s, fn) => {
      if (!fn.body) throw new Error(`function ${fn.name} is declared, not defined`);
      s.u32(fn.body.bytes.length);
      s.append(fn.body.bytes);
    });
    return out.view().slice();
  }

  /** The custom section of the branch hinting proposal, which stands before the code. */
  #branchHints(out: Bytes): void {
    const hinted = this.#functions.flatMap((fn, i) =>
      fn.body && fn.body.hints.length > 0 ? [{ index: this.#imports.length + i, hints: fn.body.hints }] : [],
    );
    const custom = new Bytes();
    custom.name('metadata.code.branch_hint');
    custom.u32(hinted.length);
    for (const { index, hints } of hinted) {
      custom.u32(index);
      custom.u32(hints.length);
      for (const { at, likely } of hints) {
        custom.u32(at);
        custom.u32(1);
        custom.byte(likely ? 1 : 0);
      }
    }
    out.byte(0);
    out.u32(custom.length);
    out.append(custom);
  }

  /** Names by function index, for profiles and error reports. */
  names(): string[] {
    return [...this.#imports.map((fn) => fn.name), ...this.#functions.map((fn) => fn.name)];
  }
}

function section<T>(out: Bytes, id: number, items: readonly T[], write: (section: Bytes, item: T) => void): void {
  const body = new Bytes();
  body.u32(items.length);
  for (const item of items) write(body, item);
  out.byte(id);
  out.u32(body.length);
  out.append(body);
}
