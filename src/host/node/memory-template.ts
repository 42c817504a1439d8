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

/** Pages that are written in one turn of the event loop: a millisecond or two. */
const SLICE = 512;
/** Pages that are not worth a file of their own: `freeze` writes them in one turn, as it does with what has changed. */
const LITTLE = 1024;
/** Pieces that are left free for what has changed between preparing a template and making it. */
const SPARE_PIECES = 16;

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

  /** Nothing will be made of these any more. */
  readonly #released = new WeakSet<WebAssembly.Memory>();

  /** @param create a memory whose pages nobody gives back but `release`, be it a collector or not */
  constructor(map: MemoryMap, create: CreateMemory) {
    this.#map = map;
    this.create = create;
  }

  release(memory: WebAssembly.Memory, { at, end }: MemoryPart): void {
    this.#map.discard(memory.buffer as SharedArrayBuffer, at, end - at);
    this.#let(memory);
    this.#released.add(memory);
  }

  /**
   * Slice by slice, what the memory has alone goes into a file, and the memory becomes a mapping of it there: what is written to it from then on is its own again, for
   * `freeze` to find. What it has is looked up once more in the turn in which the slice is written.
   */
  async prepareFreeze(
    memory: WebAssembly.Memory,
    parts: readonly MemoryPart[],
    isWanted: () => boolean,
  ): Promise<void> {
    const own: PageRun[][] = [];
    for (const part of inPages(parts)) {
      const found: PageRun[] = [];
      for (const slice of slices(part, ENTRIES_AT_ONCE)) {
        found.push(...this.#ownRuns(memory, slice));
        if (slice.end - slice.first === ENTRIES_AT_ONCE) await turn();
      }
      own.push(found);
    }
    const { base, others, runs } = this.#plan(memory, parts, own, MOST_PIECES - SPARE_PIECES);
    // A paused domain that is cloned again and again has few.
    if (runs.reduce((sum, { first, end }) => sum + end - first, 0) <= LITTLE) return;
    const bytes = new Uint8Array(memory.buffer);
    const file = new TemplateFile(this.#map.createMemfd('xenolith-template'));
    file.use();
    const moved: { first: number; end: number; file: TemplateFile }[] = [];
    try {
      ftruncateSync(file.fd, bytes.length);
      for (const run of runs) {
        const piece = { first: run.first, end: run.first, file };
        for (const slice of slices(run, SLICE)) {
          if (!isWanted()) return;
          const alone = this.#ownRuns(memory, slice);
          const rest = without(within([...others, ...base], [slice]), alone);
          for (const { first, end } of [...alone, ...rest])
            writeAll(file.fd, bytes, first * HOST_PAGE, end * HOST_PAGE);
          this.#mapPiece(memory, { ...slice, file });
          if (piece.end === piece.first) moved.push(piece);
          piece.end = slice.end;
          await turn();
        }
      }
    } finally {
      // What has become of it so far stays, whatever else went wrong.
      if (!this.#released.has(memory)) this.#hold(memory, ascending([...without(base, moved), ...moved]));
      file.letGo();
    }
  }

  freeze(memory: WebAssembly.Memory, parts: readonly MemoryPart[]): MemoryTemplate {
    const own = inPages(parts).map((part) => this.#ownRuns(memory, part));
    const { base, others, runs } = this.#plan(memory, parts, own, MOST_PIECES);
    const contents = [...own.flat(), ...within(others, runs), ...within(base, runs)];
    return this.#write(memory, contents, runs, without(base, runs));
  }

  /** What is to be written to a file, given what the memory has alone of each part. */
  #plan(
    memory: WebAssembly.Memory,
    parts: readonly MemoryPart[],
    own: readonly (readonly PageRun[])[],
    mostPieces: number,
  ): { readonly base: readonly Piece[]; readonly others: readonly PageRun[]; readonly runs: readonly PageRun[] } {
    const base = this.#pieces.get(memory) ?? [];
    // Pages of a file that the domain was restored from are neither its own nor a template's.
    const others = without(this.#otherRuns(memory), base);
    const covering = (more: readonly PageRun[]): PageRun[] =>
      inPages(parts).flatMap((part, i) =>
        gapsClosed(ascending([...(own[i] ?? []), ...within(more, [part])]), mostRuns(part)),
      );
    const runs = covering(others);
    if (without(base, runs).length + runs.length <= mostPieces) return { base, others, runs };
    return { base, others, runs: covering([...others, ...base]) };
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
    const all = ascending([...kept, ...added]);
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
    for (const piece of pieces) this.#mapPiece(memory, piece);
    this.#hold(memory, all);
  }

  #mapPiece(memory: WebAssembly.Memory, { first, end, file }: Piece): void {
    const length = (end - first) * HOST_PAGE;
    const range = { fd: file.fd, offset: first * HOST_PAGE, length, isAccounted: true } as const;
    this.#map.mapFile(memory.buffer as SharedArrayBuffer, first * HOST_PAGE, range);
  }

  /** The files stay as long as the memory, or until it consists of others. */
  #hold(memory: WebAssembly.Memory, all: readonly Piece[]): void {
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

const ascending = <R extends PageRun>(runs: R[]): R[] => runs.sort((a, b) => a.first - b.first);

const inPages = (parts: readonly MemoryPart[]): PageRun[] =>
  parts.map(({ at, end }) => ({ first: at / HOST_PAGE, end: end / HOST_PAGE }));

function* slices({ first, end }: PageRun, length: number): Generator<PageRun> {
  for (let at = first; at < end; at += length) yield { first: at, end: Math.min(at + length, end) };
}

/** Others have theirs. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

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
  if (map !== 'none') return new MappedMemories(map, create);
  const nothing = (): Promise<void> => Promise.resolve();
  return { create: createMemory, prepareFreeze: nothing, freeze: copied, release: () => undefined };
}
