import type { CodeCache } from '../code-cache.ts';
import { Flags } from '../flags.ts';
import { buildHandler, type Handler, type InstructionSet } from '../instruction-set.ts';
import { Op } from '../state-layout.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { I32, ValType } from '../wasm/value.ts';
import { KnownOperation } from './known-operation.ts';
import { discover, type Region, type RegionBlock } from './region.ts';
import { RegionSemantics } from './region-semantics.ts';

/** Regions at most; the oldest goes first. */
const MAX_REGIONS = 1024;

interface Installed {
  readonly entry: number;
  readonly index: number;
  /** What the entry's handler was before. */
  readonly original: number;
  readonly blocks: readonly number[];
}

/** Turns hot regions into WebAssembly functions of their own and puts them in the place of the interpreter's handlers. */
export class Translator {
  readonly #set: InstructionSet;
  readonly #memory: DataView;
  readonly #table: WebAssembly.Table;
  readonly #imports: WebAssembly.ModuleImports;
  readonly #staleHandler: number;
  readonly #free: number[] = [];
  /** By the operation that enters it. */
  readonly #regions = new Map<number, Installed>();
  /** First operation of a block → entries of the regions it is part of. */
  readonly #regionsOf = new Map<number, Set<number>>();

  constructor(o: {
    set: InstructionSet;
    memory: DataView;
    cache: CodeCache;
    exports: WebAssembly.Exports;
    imports: WebAssembly.ModuleImports;
  }) {
    this.#set = o.set;
    this.#memory = o.memory;
    this.#table = o.exports['handlers'] as WebAssembly.Table;
    this.#imports = { ...o.imports, ...(o.exports as WebAssembly.ModuleImports) };
    this.#staleHandler = o.set.handler('(stale)');
    o.cache.onStale = (block) => this.#drop(block);
  }

  get regions(): number {
    return this.#regions.size;
  }

  /** Translates the region that begins with an operation, unless it is already. */
  translate(entry: number): boolean {
    if (this.#regions.has(entry)) return false;
    const region = discover(this.#memory, entry, (op) => this.#handlerAt(op));
    if (!region) return false;
    const bytes = this.#generate(region);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: this.#imports });
    if (this.#regions.size >= MAX_REGIONS) this.#remove(this.#regions.values().next().value);
    const index = this.#free.pop() ?? this.#table.grow(1);
    this.#table.set(index, instance.exports['region']);
    const original = this.#memory.getUint32(entry + Op.handler, true);
    this.#memory.setUint32(entry + Op.handler, index, true);
    const blocks = region.blocks.map((block) => block.start);
    this.#regions.set(entry, { entry, index, original, blocks });
    for (const block of blocks) {
      const entries = this.#regionsOf.get(block) ?? new Set<number>();
      this.#regionsOf.set(block, entries.add(entry));
    }
    return true;
  }

  /** The interpreter's handler of an operation, whatever stands there now. */
  #handlerAt(op: number): Handler | undefined {
    const index = this.#regions.get(op)?.original ?? this.#memory.getUint32(op + Op.handler, true);
    if (index === this.#staleHandler) return undefined;
    return this.#set.handlers[this.#set.firstOfPair(index)];
  }

  #generate(region: Region): Uint8Array<ArrayBuffer> {
    const m = new ModuleBuilder({ table: 'imported', hinted: true });
    const services = this.#set.importServices(m);
    const fn = m.function('region', [ValType.i32, ValType.i32], ValType.i32, (code) => {
      const vcpu = code.param(ValType.i32, 0);
      const current = code.variable(ValType.i32);
      const byOff = new Map(region.blocks.map((block, i) => [block.off, i]));
      const single = region.blocks.length === 1;
      code.loop((again) => {
        const goTo = (off: number): (() => void) | undefined => {
          const i = byOff.get(off);
          if (i === undefined) return undefined;
          return () => {
            if (!single) current.set(I32.of(i));
            again();
          };
        };
        const write = (block: RegionBlock): void => {
          const flags = new Flags(code, vcpu, true);
          for (const { at, handler } of block.operations) {
            const op = new KnownOperation(this.#memory, at);
            const special = { op, flags, labels: { goTo } };
            const u = new RegionSemantics(code, handler.variant, handler.operands, services, special);
            buildHandler(u, handler);
            u.finish();
          }
        };
        const [first] = region.blocks;
        if (single && first) write(first);
        else
          code.switch(
            current.get,
            region.blocks.map((block) => () => write(block)),
            () => code.unreachable(),
          );
      });
      code.unreachable();
    });
    m.export('region', fn);
    return m.encode();
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
    this.#free.push(region.index);
  }

  /** The code cache was emptied: nothing refers to any region any more. */
  clear(): void {
    for (const region of [...this.#regions.values()]) this.#remove(region);
  }
}
