import type { CodeCache } from '../code-cache.ts';
import type { Handler, InstructionSet } from '../instruction-set.ts';
import { Kept, MAX_REGIONS, Op } from '../state-layout.ts';
import { type CodeView, Discovery } from './discover.ts';
import type { RegionCompiler } from './compiler.ts';
import type { RegionGates } from './gates.ts';
import type { RegionJob } from './job.ts';

/** Jobs that wait for the compiler; what is hot when there are as many is found hot again later. */
const MAX_WAITING = 256;

interface Region {
  readonly entry: number;
  /** In the table; 0 while it is being compiled. */
  index: number;
  /** What the entry's handler was before. */
  readonly original: number;
  readonly blocks: readonly number[];
  readonly job: RegionJob;
}

/** What discovery asks, relative to the entry's page. */
export type CodeAround = Pick<CodeView, 'mode' | 'blockAt' | 'frameAt'> & { readonly name: string };

/** Turns hot regions into WebAssembly functions of their own and puts them in the place of the interpreter's handlers. */
export class Translator {
  readonly #set: InstructionSet;
  readonly #compiler: RegionCompiler;
  readonly #memory: DataView;
  readonly #keptAt: number;
  readonly #table: WebAssembly.Table;
  readonly #imports: WebAssembly.ModuleImports;
  readonly #gates: RegionGates | undefined;
  readonly #staleHandler: number;
  readonly #free: number[] = [];
  /** By the operation that enters it. */
  readonly #regions = new Map<number, Region>();
  /** First operation of a block → entries of the regions it is part of. */
  readonly #regionsOf = new Map<number, Set<number>>();
  /** So far: regions that were compiled, and those of them that are gone. */
  compiled = 0;
  dropped = 0;
  /** By the number of their job: what the compiler works on. */
  readonly #waiting = new Map<number, Region>();
  #jobs = 0;

  constructor(o: {
    set: InstructionSet;
    compiler: RegionCompiler;
    memory: DataView;
    /** Host address of `Kept`. */
    keptAt: number;
    cache: CodeCache;
    exports: WebAssembly.Exports;
    imports: WebAssembly.ModuleImports;
    /** For regions that are checked. */
    gates: RegionGates | undefined;
  }) {
    this.#set = o.set;
    this.#compiler = o.compiler;
    this.#memory = o.memory;
    this.#keptAt = o.keptAt;
    this.#table = o.exports['handlers'] as WebAssembly.Table;
    this.#imports = { ...o.imports, ...(o.exports as WebAssembly.ModuleImports) };
    this.#gates = o.gates;
    this.#staleHandler = o.set.handler('(stale)');
    o.cache.onStale = (block) => this.#drop(block);
  }

  /** Regions that run. */
  get regions(): number {
    return this.compiled - this.dropped;
  }

  /** Regions that wait for the compiler. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A region begins with this operation, or will. */
  has(entry: number): boolean {
    return this.#regions.has(entry);
  }

  /** A region that can run contains the block that begins with this operation. */
  covers(block: number): boolean {
    for (const entry of this.#regionsOf.get(block) ?? []) if (this.#regions.get(entry)?.index !== 0) return true;
    return false;
  }

  /**
   * Has the region that begins with a block translated, unless it is already.
   * @param code the code around it; @param off offset of the block in its page
   * @returns false when that has to be asked for again
   */
  request(entry: number, code: CodeAround, off: number): boolean {
    if (this.#regions.has(entry)) return true;
    if (this.#waiting.size >= MAX_WAITING) return false;
    const discovery = new Discovery({
      memory: this.#memory,
      handlerOf: (op) => this.#handlerOf(op),
      ...code,
    });
    const original = this.#memory.getUint32(entry + Op.handler, true);
    const job = discovery.run(off, original, code.name);
    if (!job) return true;
    if (this.#regions.size >= MAX_REGIONS) this.#remove(this.#regions.values().next().value);
    const region: Region = { entry, index: 0, original, blocks: [...discovery.blocks], job };
    this.#regions.set(entry, region);
    for (const block of region.blocks) {
      const entries = this.#regionsOf.get(block) ?? new Set<number>();
      this.#regionsOf.set(block, entries.add(entry));
    }
    const id = ++this.#jobs;
    this.#waiting.set(id, region);
    this.#compiler.submit(id, job);
    return true;
  }

  /** Puts what the compiler has finished in the place of the interpreter's handlers. */
  install(): void {
    for (const { ids, module } of this.#compiler.take()) {
      const instance = new WebAssembly.Instance(module, { env: this.#imports });
      const gates = this.#gates;
      const alone = gates && new WebAssembly.Instance(module, { env: { ...this.#imports, ...gates.imports } });
      for (const [n, id] of ids.entries()) {
        const region = this.#waiting.get(id);
        this.#waiting.delete(id);
        // It may have become stale meanwhile.
        if (!region || this.#regions.get(region.entry) !== region) continue;
        this.compiled++;
        region.index = this.#free.pop() ?? this.#table.grow(1);
        const name = `region${n}`;
        const run: unknown = instance.exports[name];
        this.#table.set(region.index, gates ? gates.add(region.index, region.job, run, alone?.exports[name]) : run);
        this.#memory.setUint32(region.entry + Op.handler, region.index, true);
        this.#keep(region.index, region.entry, region.original);
      }
    }
  }

  /** The interpreter's handler of an operation, whatever stands there now. */
  #handlerOf(op: number): { index: number; handler: Handler } | undefined {
    const index = this.#regions.get(op)?.original ?? this.#memory.getUint32(op + Op.handler, true);
    if (index === this.#staleHandler) return undefined;
    const handler = this.#set.handlers[index];
    return handler && { index, handler };
  }

  /** A block became stale: the regions that contain it go. */
  #drop(block: number): void {
    for (const entry of this.#regionsOf.get(block) ?? []) this.#remove(this.#regions.get(entry));
  }

  #remove(region: Region | undefined): void {
    if (!region) return;
    for (const block of region.blocks) {
      const entries = this.#regionsOf.get(block);
      entries?.delete(region.entry);
      if (entries?.size === 0) this.#regionsOf.delete(block);
    }
    this.#regions.delete(region.entry);
    if (region.index === 0) return;
    this.dropped++;
    if (this.#memory.getUint32(region.entry + Op.handler, true) === region.index)
      this.#memory.setUint32(region.entry + Op.handler, region.original, true);
    // Whatever still runs in it may finish; its code goes with the last function of its module.
    this.#table.set(region.index, null);
    this.#gates?.remove(region.index);
    this.#keep(region.index, 0, 0);
    this.#free.push(region.index);
  }

  #keep(index: number, entry: number, original: number): void {
    const at = this.#keptAt + Kept.regions + (index - this.#set.handlers.length) * Kept.entrySize;
    this.#memory.setUint32(at, entry, true);
    this.#memory.setUint32(at + 4, original, true);
  }

  /** The code cache was emptied: nothing refers to any region any more. */
  clear(): void {
    for (const region of [...this.#regions.values()]) this.#remove(region);
  }
}
