import type { CodeCache } from '../code-cache.ts';
import type { Handler, InstructionSet } from '../instruction-set.ts';
import { Op } from '../state-layout.ts';
import { type CodeView, Discovery } from './discover.ts';
import { RegionGenerator } from './generate.ts';

/** Regions at most; the oldest goes first. */
const MAX_REGIONS = 1024;

interface Installed {
  readonly entry: number;
  readonly index: number;
  /** What the entry's handler was before. */
  readonly original: number;
  readonly blocks: readonly number[];
}

/** What discovery asks, relative to the entry's page. */
export type CodeAround = Pick<CodeView, 'mode' | 'blockAt' | 'frameAt'>;

/** Turns hot regions into WebAssembly functions of their own and puts them in the place of the interpreter's handlers. */
export class Translator {
  readonly #set: InstructionSet;
  readonly #generator: RegionGenerator;
  readonly #memory: DataView;
  readonly #table: WebAssembly.Table;
  readonly #imports: WebAssembly.ModuleImports;
  readonly #staleHandler: number;
  readonly #free: number[] = [];
  /** By the operation that enters it. */
  readonly #regions = new Map<number, Installed>();
  /** First operation of a block → entries of the regions it is part of. */
  readonly #regionsOf = new Map<number, Set<number>>();
  /** So far: regions that were compiled, and those of them that are gone. */
  compiled = 0;
  dropped = 0;

  constructor(o: {
    set: InstructionSet;
    memory: DataView;
    cache: CodeCache;
    exports: WebAssembly.Exports;
    imports: WebAssembly.ModuleImports;
  }) {
    this.#set = o.set;
    this.#generator = new RegionGenerator(o.set);
    this.#memory = o.memory;
    this.#table = o.exports['handlers'] as WebAssembly.Table;
    this.#imports = { ...o.imports, ...(o.exports as WebAssembly.ModuleImports) };
    this.#staleHandler = o.set.handler('(stale)');
    o.cache.onStale = (block) => this.#drop(block);
  }

  get regions(): number {
    return this.#regions.size;
  }

  /** Regions that wait for the compiler. */
  get waiting(): number {
    return 0;
  }

  /** A region that can run contains the block that begins with this operation. */
  covers(block: number): boolean {
    return this.#regionsOf.has(block);
  }

  /**
   * Translates the region that begins with a block, unless it is already.
   * @param code the code around it; @param off offset of the block in its page
   */
  translate(entry: number, code: CodeAround, off: number): boolean {
    if (this.#regions.has(entry)) return false;
    const discovery = new Discovery({
      memory: this.#memory,
      handlerOf: (op) => this.#handlerOf(op),
      ...code,
    });
    const original = this.#memory.getUint32(entry + Op.handler, true);
    const job = discovery.run(off, original);
    if (!job) return false;
    const bytes = this.#generator.generate([job]);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: this.#imports });
    if (this.#regions.size >= MAX_REGIONS) this.#remove(this.#regions.values().next().value);
    const index = this.#free.pop() ?? this.#table.grow(1);
    this.#table.set(index, instance.exports['region0']);
    this.compiled++;
    this.#memory.setUint32(entry + Op.handler, index, true);
    const blocks = [...discovery.blocks];
    this.#regions.set(entry, { entry, index, original, blocks });
    for (const block of blocks) {
      const entries = this.#regionsOf.get(block) ?? new Set<number>();
      this.#regionsOf.set(block, entries.add(entry));
    }
    return true;
  }

  /** The interpreter's handler of an operation, whatever stands there now. */
  #handlerOf(op: number): { index: number; handler: Handler } | undefined {
    const index = this.#regions.get(op)?.original ?? this.#memory.getUint32(op + Op.handler, true);
    if (index === this.#staleHandler) return undefined;
    const own = this.#set.firstOfPair(index);
    const handler = this.#set.handlers[own];
    return handler && { index: own, handler };
  }

  /** A block became stale: the regions that contain it go. */
  #drop(block: number): void {
    for (const entry of this.#regionsOf.get(block) ?? []) this.#remove(this.#regions.get(entry));
  }

  #remove(region: Installed | undefined): void {
    if (!region) return;
    if (this.#memory.getUint32(region.entry + Op.handler, true) === region.index)
      this.#memory.setUint32(region.entry + Op.handler, region.original, true);
    for (const block of region.blocks) {
      const entries = this.#regionsOf.get(block);
      entries?.delete(region.entry);
      if (entries?.size === 0) this.#regionsOf.delete(block);
    }
    this.#regions.delete(region.entry);
    this.dropped++;
    this.#free.push(region.index);
  }

  /** The code cache was emptied: nothing refers to any region any more. */
  clear(): void {
    for (const region of [...this.#regions.values()]) this.#remove(region);
  }
}
