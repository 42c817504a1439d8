/** Where the disk's clusters lie in the file: the L1 table and a cache of L2 tables (docs/interop/qcow2.txt, "Cluster mapping"). */
import { Turns } from '../turns.ts';
import { DirtyTable, type TableWrite } from './dirty-range.ts';
import { ENTRY_SIZE, EntryTable, OFLAG_COMPRESSED, OFLAG_COPIED, OFLAG_ZERO } from './entry-table.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { type Refcounts } from './refcounts.ts';

/** L2 tables in memory, in bytes: 16 MiB of them map 128 GiB of the disk with the usual clusters of 64 KiB. */
const CACHE_BYTES = 16 * 2 ** 20;

/** `zero` may have a cluster of the file kept for it, at `host`. `compressed` has its two halves as they are. */
export type ClusterKind = 'unallocated' | 'zero' | 'data' | 'compressed';

/** Clusters of the disk that are alike and, if they are in the file, follow each other there too. */
export interface Extent {
  readonly kind: ClusterKind;
  /** Bytes from the asked offset on; ends with the clusters, or with the request. */
  readonly length: number;
  /** Where the first byte lies in the file; 0 for what is not in the file. */
  readonly host: number;
  /** Nothing else refers to these clusters of the file. */
  readonly isOurs: boolean;
  /** Of a compressed cluster. */
  readonly high: number;
  readonly low: number;
}

class L2Table extends DirtyTable {
  readonly entries = new EntryTable(this.bytes);
}

export class Mapping {
  readonly #image: ImageFile;
  readonly #refcounts: Refcounts;
  readonly #perTable: number;
  readonly #tableSpan: number;
  readonly #limit: number;
  #l1: EntryTable;
  #l1Dirty: DirtyTable;
  /** In the order of use, the last used last. */
  readonly #tables = new Map<number, L2Table>();
  readonly #loading = new Map<number, Promise<void>>();
  readonly #making = new Map<number, Turns>();
  /** Sees the clusters that a table refers to no more. */
  readonly #onDropped: (run: ClusterRun) => void;

  constructor(image: ImageFile, refcounts: Refcounts, l1: Uint8Array, onDropped: (run: ClusterRun) => void) {
    this.#image = image;
    this.#refcounts = refcounts;
    this.#perTable = image.clusterSize / ENTRY_SIZE;
    this.#tableSpan = this.#perTable * image.clusterSize;
    this.#limit = Math.max(4, Math.floor(CACHE_BYTES / image.clusterSize));
    this.#l1 = new EntryTable(l1);
    this.#l1Dirty = new DirtyTable(l1, image.header.l1TableOffset);
    this.#onDropped = onDropped;
  }

  get l1(): EntryTable {
    return this.#l1;
  }

  get dirtyTables(): number {
    let count = 0;
    for (const table of this.#tables.values()) if (table.isDirty) count++;
    return count;
  }

  /** So many tables wait for being written that they must be: they cannot leave memory before. */
  get isFull(): boolean {
    return this.#tables.size >= this.#limit && this.dirtyTables * 2 >= this.#limit;
  }

  /** The extent at a byte of the disk, or a promise of what has to be read first; then ask again. */
  find(offset: number, length: number): Extent | Promise<void> {
    const { clusterSize } = this.#image;
    const index = Math.floor(offset / this.#tableSpan);
    const inTable = offset - index * this.#tableSpan;
    const most = Math.min(length, this.#tableSpan - inTable);
    if (this.#l1.offset(index) === 0)
      return { kind: 'unallocated', length: most, host: 0, isOurs: false, high: 0, low: 0 };
    const table = this.#tables.get(index);
    if (table === undefined) return this.#load(index);
    this.#use(index, table);
    const cluster = Math.floor(inTable / clusterSize);
    const within = inTable - cluster * clusterSize;
    const first = this.#entry(table, cluster);
    let end = cluster + 1;
    const last = Math.ceil((inTable + most) / clusterSize);
    if (first.kind !== 'compressed') {
      for (; end < last; end++) {
        const next = this.#entry(table, end);
        if (next.kind !== first.kind || next.isOurs !== first.isOurs) break;
        if (next.host !== (first.host === 0 ? 0 : first.host + (end - cluster) * clusterSize)) break;
      }
    }
    const extent = {
      ...first,
      host: first.host === 0 ? 0 : first.host + within,
      length: Math.min(most, (end - cluster) * clusterSize - within),
    };
    return this.#isPossible(extent)
      ? extent
      : this.#image.corrupt(`the disk's byte ${offset} is at an impossible place`);
  }

  /** As `find`, for who does not wait: undefined when something has to be read first, which has begun then. */
  peek(offset: number, length: number): Extent | undefined {
    const found = this.find(offset, length);
    if (!(found instanceof Promise)) return found;
    // Who asks again in the other way hears of what went wrong.
    found.catch(() => undefined);
    return undefined;
  }

  /** Points clusters of the disk, within one table, at clusters of the file that follow each other. What they were is dropped. */
  async point(offset: number, count: number, host: number): Promise<void> {
    const { clusterSize } = this.#image;
    await this.#change(offset, count, (table, cluster, step) => {
      table.entries.setOffset(cluster, host + step * clusterSize, OFLAG_COPIED);
    });
  }

  /** Makes clusters, within one table, something that is not in the file. `keep` leaves them the cluster that they have alone. */
  async clear(offset: number, count: number, kind: 'unallocated' | 'zero', keep: boolean): Promise<void> {
    await this.#change(offset, count, (table, cluster) => {
      const entry = this.#entry(table, cluster);
      if (keep && entry.host !== 0 && entry.isOurs)
        table.entries.setOffset(cluster, entry.host, OFLAG_COPIED, OFLAG_ZERO);
      else table.entries.set(cluster, 0, kind === 'zero' ? OFLAG_ZERO : 0);
    });
  }

  async pointCompressed(offset: number, high: number, low: number): Promise<void> {
    await this.#change(offset, 1, (table, cluster) => table.entries.set(cluster, (high | OFLAG_COMPRESSED) >>> 0, low));
  }

  takeTables(): TableWrite[] {
    const writes: TableWrite[] = [];
    for (const table of this.#tables.values()) if (table.isDirty) writes.push(table.take());
    return writes;
  }

  takeL1(): TableWrite[] {
    return this.#l1Dirty.isDirty ? [this.#l1Dirty.take()] : [];
  }

  /** The L1 table has moved or grown, and the file knows; nothing was dirty. */
  replaceL1(bytes: Uint8Array, offset: number): void {
    this.#l1 = new EntryTable(bytes);
    this.#l1Dirty = new DirtyTable(bytes, offset);
    this.#tables.clear();
  }

  /** Sets whether entries say that they are the only ones, by asking for each; only what changes is written. */
  async setCopied(index: number, isOurs: (cluster: number) => boolean): Promise<void> {
    const { clusterSize } = this.#image;
    const table = await this.#loaded(index);
    for (let at = 0; at < this.#perTable; at++) {
      const entry = this.#entry(table, at);
      if (entry.host === 0 || entry.kind === 'compressed') continue;
      const ours = isOurs(Math.floor(entry.host / clusterSize));
      if (ours === entry.isOurs) continue;
      table.entries.set(at, ((entry.high & ~OFLAG_COPIED) | (ours ? OFLAG_COPIED : 0)) >>> 0, entry.low);
      table.mark(at * ENTRY_SIZE, (at + 1) * ENTRY_SIZE);
    }
    const offset = this.#l1.offset(index);
    const ours = isOurs(offset / clusterSize);
    if (ours !== this.#l1.isCopied(index)) this.#setL1(index, offset, ours);
  }

  async #change(
    offset: number,
    count: number,
    set: (table: L2Table, cluster: number, step: number) => void,
  ): Promise<void> {
    const { clusterSize } = this.#image;
    const index = Math.floor(offset / this.#tableSpan);
    const first = Math.floor((offset - index * this.#tableSpan) / clusterSize);
    let table = this.#own(index);
    while (table === undefined) {
      await this.#makeOwn(index);
      // Looked for again: it may have left memory in between.
      table = this.#own(index);
    }
    for (let step = 0; step < count; step++) {
      const before = this.#entry(table, first + step);
      set(table, first + step, step);
      const after = this.#entry(table, first + step);
      if (before.host !== 0 && (before.kind === 'compressed' || after.host !== before.host)) {
        this.#onDropped(this.clustersOf(before));
      }
    }
    table.mark(first * ENTRY_SIZE, (first + count) * ENTRY_SIZE);
  }

  /** The clusters of the file that an entry takes. */
  clustersOf({ kind, host, high, low }: Pick<Extent, 'kind' | 'host' | 'high' | 'low'>): ClusterRun {
    const { clusterSize } = this.#image;
    if (kind !== 'compressed') return { first: host / clusterSize, count: 1 };
    const { start, length } = compressedPlace(this.#image, high, low);
    const first = Math.floor(start / clusterSize);
    return { first, count: Math.floor((start + length - 1) / clusterSize) - first + 1 };
  }

  #entry(table: L2Table, cluster: number): Extent {
    const high = table.entries.high(cluster);
    const low = table.entries.low(cluster);
    if ((high & OFLAG_COMPRESSED) !== 0) {
      return {
        kind: 'compressed',
        length: 0,
        host: compressedPlace(this.#image, high, low).start,
        isOurs: false,
        high,
        low,
      };
    }
    const host = table.entries.offset(cluster);
    const isZero = (low & OFLAG_ZERO) !== 0 && this.#image.header.version >= 3;
    const kind = isZero ? 'zero' : host === 0 ? 'unallocated' : 'data';
    return { kind, length: 0, host, isOurs: (high & OFLAG_COPIED) !== 0, high, low };
  }

  #isPossible({ kind, host, length, high, low }: Extent): boolean {
    if (kind === 'unallocated' || host === 0) return kind !== 'compressed';
    if (!Number.isSafeInteger(host + length)) return false;
    if (kind === 'compressed') return compressedPlace(this.#image, high, low).start >= this.#image.clusterSize;
    return low % this.#image.clusterSize < 512;
  }

  #use(index: number, table: L2Table): void {
    this.#tables.delete(index);
    this.#tables.set(index, table);
  }

  #load(index: number): Promise<void> {
    let loading = this.#loading.get(index);
    if (loading === undefined) {
      loading = this.#readTable(index).finally(() => this.#loading.delete(index));
      this.#loading.set(index, loading);
    }
    return loading;
  }

  async #readTable(index: number): Promise<void> {
    const offset = this.#l1.offset(index);
    if (offset % this.#image.clusterSize !== 0 || offset >= this.#image.end) {
      return this.#image.corrupt(`L2 table ${index} is at an impossible place`);
    }
    const table = new L2Table(new Uint8Array(this.#image.clusterSize), offset);
    await this.#image.file.read(offset, [table.bytes]);
    this.#add(index, table);
  }

  #add(index: number, table: L2Table): void {
    for (const [other, old] of this.#tables) {
      if (this.#tables.size < this.#limit) break;
      if (!old.isBusy) this.#tables.delete(other);
    }
    this.#tables.set(index, table);
  }

  async #loaded(index: number): Promise<L2Table> {
    for (;;) {
      const table = this.#tables.get(index);
      if (table !== undefined) return table;
      await this.#load(index);
    }
  }

  /** The table, when it is in memory and nothing else refers to it. */
  #own(index: number): L2Table | undefined {
    return this.#l1.isCopied(index) ? this.#tables.get(index) : undefined;
  }

  async #makeOwn(index: number): Promise<void> {
    let turns = this.#making.get(index);
    if (turns === undefined) this.#making.set(index, (turns = new Turns()));
    await turns.take(() => this.#allocateTable(index));
  }

  async #allocateTable(index: number): Promise<void> {
    const offset = this.#l1.offset(index);
    if (offset !== 0 && this.#l1.isCopied(index)) {
      await this.#loaded(index);
      return;
    }
    const { clusterSize } = this.#image;
    const run = await this.#refcounts.allocate(1);
    if (run.first === 0 || this.#image.isReserved(run))
      return this.#image.corrupt(`cluster ${run.first} counts as free but is not`);
    const table = new L2Table(new Uint8Array(clusterSize), run.first * clusterSize);
    if (offset !== 0) {
      const old = await this.#loaded(index);
      table.bytes.set(old.bytes);
      const dropped = { first: offset / clusterSize, count: 1 };
      this.#image.unreserve(dropped);
      this.#onDropped(dropped);
      this.#tables.delete(index);
    }
    table.mark();
    this.#image.reserve(run);
    this.#add(index, table);
    this.#setL1(index, table.offset, true);
  }

  #setL1(index: number, offset: number, isOurs: boolean): void {
    this.#l1.setOffset(index, offset, isOurs ? OFLAG_COPIED : 0);
    this.#l1Dirty.mark(index * ENTRY_SIZE, (index + 1) * ENTRY_SIZE);
  }
}

/** Compressed Clusters Descriptor: an offset of any byte, and how many more sectors than the first one the data reaches into. */
export function compressedPlace({ header }: ImageFile, high: number, low: number): { start: number; length: number } {
  const sizeBits = header.clusterBits - 8;
  const offsetBits = 62 - sizeBits;
  const highBits = offsetBits - 32;
  const start = (high & (2 ** highBits - 1)) * 2 ** 32 + low;
  const sectors = (high & 0x3fffffff) >>> highBits;
  return { start, length: (sectors + 1) * 512 - (start % 512) };
}

export function compressedDescriptor(
  { header }: ImageFile,
  start: number,
  length: number,
): { high: number; low: number } {
  const highBits = 62 - (header.clusterBits - 8) - 32;
  const sectors = Math.floor((start + length - 1) / 512) - Math.floor(start / 512);
  return { high: (sectors * 2 ** highBits + Math.floor(start / 2 ** 32)) >>> 0, low: start % 2 ** 32 };
}
