/**
 * Templates that clones' memories begin from. On Linux they are files in memory whose pages all clones share until they write to them; elsewhere, copies of bytes.
 *
 * The memory that is frozen goes on as one more mapping of its template, so that it too has pages of its own only where it writes, and its next template, or a clone's, holds
 * what is not in the last one: a template is a list of pieces of such files.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { createMemory } from '../../hypervisor/domain-memory.ts';
import type { DomainMemories, MemoryPart, MemoryTemplate } from '../../hypervisor/host-services.ts';
import { HOST_PAGE, type MemoryMap, memoryMap } from './memory-map.ts';
import { gapsClosed, type PageRun, within, without } from './page-runs.ts';

/** Runs of pages that a template adds at most, of a large part of the memory: what lies between near ones is added with them. */
const MOST_RUNS = 32;
const SMALL_PART = 4096;
/**
 * Each piece is a mapping in each clone, and the host bounds mappings (vm.max_map_count: 65530 for a process, unless it was told otherwise). A template that would have more is
 * made of one file again.
 */
const MOST_PIECES = 96;

const WASM_PAGE = 65536;

/** Linux: Documentation/admin-guide/mm/pagemap.rst. Bits 63, 62 and 61 of an entry, here of its high word: in memory; swapped out; a file's or shared. */
const ENTRY_SIZE = 8;
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const OF_FILE = 0x2000_0000;
const ENTRIES_AT_ONCE = 65536;

/** A file in memory, open as long as a template may be made from it; its pages stay as long as anybody has them mapped. */
class TemplateFile {
  readonly fd: number;
  #users = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  use(): void {
    this.#users++;
  }

  letGo(): void {
    if (--this.#users === 0) closeSync(this.fd);
  }
}

/** These pages are in the file at the same place. */
interface Piece extends PageRun {
  readonly file: TemplateFile;
}

type CreateMemory = DomainMemories['create'];

class MappedTemplate implements MemoryTemplate {
  readonly #memories: MappedMemories;
  readonly #size: number;
  readonly #pieces: readonly Piece[];
  #open = true;

  /** For memories of so many bytes. */
  constructor(memories: MappedMemories, size: number, pieces: readonly Piece[]) {
    this.#memories = memories;
    this.#size = size;
    this.#pieces = pieces;
    for (const { file } of pieces) file.use();
  }

  create(): WebAssembly.Memory {
    const memory = this.#memories.create(this.#size / WASM_PAGE);
    this.#memories.map(memory, this.#pieces, this.#pieces);
    return memory;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const { file } of this.#pieces) file.letGo();
  }
}

class MappedMemories implements DomainMemories {
  readonly create: CreateMemory;
  readonly #map: MemoryMap;
  readonly #pieces = new WeakMap<WebAssembly.Memory, readonly Piece[]>();
  readonly #gone = new FinalizationRegistry<readonly Piece[]>((pieces) => {
    for (const { file } of pieces) file.letGo();
  });

  /** @param create a memory whose pages nobody gives back but `release`, be it a collector or not */
  constructor(map: MemoryMap, create: CreateMemory) {
    this.#map = map;
    this.create = create;
  }

  release(memory: WebAssembly.Memory, { at, end }: MemoryPart): void {
    this.#map.discard(memory.buffer as SharedArrayBuffer, at, end - at);
    this.#let(memory);
  }

  freeze(memory: WebAssembly.Memory, parts: readonly MemoryPart[]): MemoryTemplate {
    const base = this.#pieces.get(memory) ?? [];
    const inPages = parts.map(({ at, end }) => ({ first: at / HOST_PAGE, end: end / HOST_PAGE }));
    // Pages of a file that the domain was restored from are neither its own nor a template's.
    const others = without(this.#otherRuns(memory), base);
    const own = inPages.map((part) => ascending([...this.#ownRuns(memory, part), ...within(others, [part])]));
    const added = inPages.flatMap((part, i) => gapsClosed(own[i] ?? [], mostRuns(part)));
    const kept = without(base, added);
    const contents = (runs: readonly PageRun[]): PageRun[] => [...own.flat(), ...within(base, runs)];
    if (kept.length + added.length <= MOST_PIECES) return this.#write(memory, contents(added), added, kept);
    const all = inPages.flatMap((part, i) => {
      const there = [...(own[i] ?? []), ...within(base, [part])];
      return gapsClosed(ascending(there), mostRuns(part));
    });
    return this.#write(memory, contents(all), all, []);
  }

  /** Writes what there is of some runs into a file of their own, and makes the memory a mapping of it there. */
  #write(
    memory: WebAssembly.Memory,
    contents: readonly PageRun[],
    runs: readonly PageRun[],
    kept: readonly Piece[],
  ): MemoryTemplate {
    const bytes = new Uint8Array(memory.buffer);
    const file = new TemplateFile(this.#map.createMemfd('xenolith-template'));
    const added = runs.map((run) => ({ ...run, file }));
    const all = [...kept, ...added];
    const template = new MappedTemplate(this, bytes.length, all);
    try {
      ftruncateSync(file.fd, bytes.length);
      for (const { first, end } of contents) writeAll(file.fd, bytes, first * HOST_PAGE, end * HOST_PAGE);
      this.map(memory, added, all);
      return template;
    } catch (error) {
      template.close();
      throw error;
    }
  }

  /** Maps some pieces; the memory consists of `all`, and of pages that it has alone. */
  map(memory: WebAssembly.Memory, pieces: readonly Piece[], all: readonly Piece[]): void {
    for (const { first, end, file } of pieces) {
      const length = (end - first) * HOST_PAGE;
      const range = { fd: file.fd, offset: first * HOST_PAGE, length, isAccounted: true } as const;
      this.#map.mapFile(memory.buffer as SharedArrayBuffer, first * HOST_PAGE, range);
    }
    for (const { file } of all) file.use();
    this.#let(memory);
    this.#pieces.set(memory, all);
    this.#gone.register(memory, all, memory);
  }

  /** The memory is no mapping of templates that a further one could begin with. */
  #let(memory: WebAssembly.Memory): void {
    const pieces = this.#pieces.get(memory);
    if (pieces === undefined) return;
    this.#pieces.delete(memory);
    this.#gone.unregister(memory);
    for (const { file } of pieces) file.letGo();
  }

  #otherRuns({ buffer }: WebAssembly.Memory): PageRun[] {
    const parts = this.#map.mappedParts(buffer as SharedArrayBuffer);
    return parts.map(({ at, length }) => ({ first: at / HOST_PAGE, end: (at + length) / HOST_PAGE }));
  }

  /** Pages that a memory has and no file does. One that was only read may be among them. */
  #ownRuns(memory: WebAssembly.Memory, { first, end: last }: PageRun): PageRun[] {
    const address = this.#map.addressOf(memory.buffer as SharedArrayBuffer);
    const runs: { first: number; end: number }[] = [];
    const pagemap = openSync('/proc/self/pagemap', 'r');
    try {
      const entries = new Uint32Array((Math.min(ENTRIES_AT_ONCE, last - first) * ENTRY_SIZE) / 4);
      for (let page = first; page < last;) {
        const wanted = Math.min(entries.byteLength, (last - page) * ENTRY_SIZE);
        const read = readSync(pagemap, entries, 0, wanted, (address / HOST_PAGE + page) * ENTRY_SIZE);
        if (read !== wanted) throw new Error('the host does not tell which pages there are');
        for (let i = 1; i < read / 4; i += 2, page++) {
          const entry = entries[i] ?? 0;
          if ((entry & (PRESENT | SWAPPED)) === 0 || (entry & OF_FILE) !== 0) continue;
          const run = runs.at(-1);
          if (run?.end === page) run.end++;
          else runs.push({ first: page, end: page + 1 });
        }
      }
    } finally {
      closeSync(pagemap);
    }
    return runs;
  }
}

const ascending = (runs: PageRun[]): PageRun[] => runs.sort((a, b) => a.first - b.first);

const mostRuns = ({ first, end }: PageRun): number => (end - first <= SMALL_PART ? 1 : MOST_RUNS);

function writeAll(fd: number, bytes: Uint8Array, from: number, end: number): void {
  for (let at = from; at < end;) at += writeSync(fd, bytes, at, end - at, at);
}

const zeroes = new Uint8Array(HOST_PAGE);

/** Where nothing can be mapped: pieces of the memory that are not all zero. */
const copied: DomainMemories['freeze'] = (memory, parts) => {
  const bytes = new Uint8Array(memory.buffer);
  let copies = parts.flatMap(({ at, end }) =>
    Array.from({ length: (end - at) / HOST_PAGE }, (_, i) => at + i * HOST_PAGE)
      .filter((page) => Buffer.compare(bytes.subarray(page, page + HOST_PAGE), zeroes) !== 0)
      .map((page) => ({ page, content: bytes.slice(page, page + HOST_PAGE) })),
  );
  return {
    create() {
      const created = createMemory(bytes.length / WASM_PAGE);
      const to = new Uint8Array(created.buffer);
      for (const { page, content } of copies) to.set(content, page);
      return created;
    },
    close() {
      copies = [];
    },
  };
};

/** What this host can do. `create`: see there; where pages cannot be given back, the engine has to know of all of a memory. */
export function domainMemories(create: CreateMemory, map: MemoryMap | 'none' = memoryMap() ?? 'none'): DomainMemories {
  return map === 'none'
    ? { create: createMemory, freeze: copied, release: () => undefined }
    : new MappedMemories(map, create);
}
