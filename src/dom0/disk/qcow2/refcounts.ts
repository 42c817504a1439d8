/**
 * Which clusters of the file are in use, and by how many (docs/interop/qcow2.txt, "Host cluster management"). Everything happens in
 * memory; `takeBlocks` and `takeTable` give what has to be written, and the image's commit decides when.
 *
 * A block of counts is put into the first cluster of the range that it counts: nothing can be there, since nothing has counted it. So
 * making one never needs another one.
 */
import { DiskError } from '../disk-error.ts';
import { Turns } from '../turns.ts';
import { DirtyTable, type TableWrite } from './dirty-range.ts';
import { ENTRY_SIZE, EntryTable } from './entry-table.ts';
import { headerAt, MAX_REFCOUNT_TABLE_BYTES } from './header.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { refcountWidth, type RefcountWidth } from './refcount-width.ts';

/** Clean blocks stay in memory up to this many bytes. */
const CACHE_BYTES = 4 * 2 ** 20;

export class Refcounts {
  readonly width: RefcountWidth;
  readonly #image: ImageFile;
  readonly #perBlock: number;
  readonly #turns = new Turns();
  readonly #blocks = new Map<number, DirtyTable>();
  #table: EntryTable;
  #tableDirty: DirtyTable;
  /** No cluster below is free. */
  #hint = 0;
  /** Sees every cluster that becomes free. */
  onFree: ((cluster: number) => void) | undefined;

  constructor(image: ImageFile, table: Uint8Array) {
    this.#image = image;
    this.width = refcountWidth(image.header.refcountOrder);
    this.#perBlock = this.width.perBlock(image.clusterSize);
    this.#table = new EntryTable(table);
    this.#tableDirty = new DirtyTable(table, image.header.refcountTableOffset);
  }

  get dirtyBytes(): number {
    let bytes = 0;
    for (const block of this.#blocks.values()) if (block.isDirty) bytes += block.bytes.length;
    return bytes;
  }

  /**
   * Before the first write: the blocks lie in the file, each for itself. So the search for a free cluster ends after as many blocks as the
   * file can hold, whatever the table says.
   */
  async checkTable(fileSize: number): Promise<void> {
    const { clusterSize } = this.#image;
    const seen = new Set<number>();
    for (let index = 0; index < this.#table.length; index++) {
      const offset = this.#table.offset(index);
      if (offset === 0) continue;
      if (offset % clusterSize !== 0 || offset >= fileSize || seen.has(offset)) {
        await this.#image.corrupt(`refcount block ${index} is at an impossible place`);
      }
      seen.add(offset);
      this.#image.reserve({ first: offset / clusterSize, count: 1 });
    }
  }

  /** Takes up to `count` free clusters that follow each other, the first that there are; they count as used once. */
  allocate(count: number): Promise<ClusterRun> {
    return this.#turns.take(async () => {
      let cluster = this.#hint;
      for (;;) {
        const block = (await this.#block(cluster)) ?? (await this.#newBlock(cluster));
        const from = cluster % this.#perBlock;
        const first = this.#firstFree(block.bytes, from);
        this.#hint = cluster - from + first;
        if (first < this.#perBlock) {
          const run = this.#takeRun(block, first, count);
          this.#hint += run;
          return { first: cluster - from + first, count: run };
        }
        cluster = this.#hint;
      }
    });
  }

  /** All of `count` clusters in one piece, for tables. */
  allocateTable(count: number): Promise<ClusterRun> {
    return this.#turns.take(async () => {
      let first = this.#hint;
      let found = 0;
      for (let cluster = first; found < count; cluster++) {
        const block = (await this.#block(cluster)) ?? (await this.#newBlock(cluster));
        if (this.width.get(block.bytes, cluster % this.#perBlock) === 0) found++;
        else {
          found = 0;
          first = cluster + 1;
        }
      }
      await this.#add({ first, count }, 1);
      return { first, count };
    });
  }

  /** Takes these clusters if they are free and the file's counts reach that far; says whether it did. */
  claim(run: ClusterRun): Promise<boolean> {
    return this.#turns.take(async () => {
      for (let cluster = run.first; cluster < run.first + run.count; cluster++) {
        const block = (await this.#block(cluster)) ?? (await this.#newBlock(cluster));
        if (this.width.get(block.bytes, cluster % this.#perBlock) !== 0) return false;
      }
      await this.#add(run, 1);
      return true;
    });
  }

  get(cluster: number): Promise<number> {
    return this.#turns.take(async () => {
      const block = await this.#block(cluster);
      return block === undefined ? 0 : this.width.get(block.bytes, cluster % this.#perBlock);
    });
  }

  /** The parts of the runs that are counted once. */
  countedOnce(runs: readonly ClusterRun[]): Promise<ClusterRun[]> {
    return this.#turns.take(async () => {
      const once: ClusterRun[] = [];
      for (const run of runs) {
        let first = run.first;
        for (let cluster = run.first; cluster < run.first + run.count; cluster++) {
          const block = await this.#block(cluster);
          if (block !== undefined && this.width.get(block.bytes, cluster % this.#perBlock) === 1) continue;
          if (cluster > first) once.push({ first, count: cluster - first });
          first = cluster + 1;
        }
        const end = run.first + run.count;
        if (end > first) once.push({ first, count: end - first });
      }
      return once;
    });
  }

  /** Adds to the counts of all clusters of the runs. */
  update(runs: readonly ClusterRun[], delta: 1 | -1): Promise<void> {
    return this.#turns.take(async () => {
      for (const run of runs) await this.#add(run, delta);
    });
  }

  takeBlocks(): TableWrite[] {
    const writes: TableWrite[] = [];
    for (const block of this.#blocks.values()) if (block.isDirty) writes.push(block.take());
    return writes;
  }

  takeTable(): TableWrite[] {
    return this.#tableDirty.isDirty ? [this.#tableDirty.take()] : [];
  }

  #firstFree(bytes: Uint8Array, from: number): number {
    let index = from;
    while (index < this.#perBlock && this.width.get(bytes, index) !== 0) index++;
    return index;
  }

  #takeRun(block: DirtyTable, first: number, count: number): number {
    let index = first;
    const end = Math.min(this.#perBlock, first + count);
    for (; index < end && this.width.get(block.bytes, index) === 0; index++) this.width.set(block.bytes, index, 1);
    this.#mark(block, first, index);
    return index - first;
  }

  async #add({ first, count }: ClusterRun, delta: 1 | -1): Promise<void> {
    let cluster = first;
    while (cluster < first + count) {
      const block = await this.#block(cluster);
      if (block === undefined) return this.#image.corrupt(`cluster ${cluster} is in use but has no reference count`);
      const from = cluster % this.#perBlock;
      const to = Math.min(this.#perBlock, from + first + count - cluster);
      for (let index = from; index < to; index++) {
        const value = this.width.get(block.bytes, index) + delta;
        if (value < 0) return this.#image.corrupt(`cluster ${cluster - from + index} is given back but was free`);
        if (value > this.width.max) {
          throw new DiskError('ENOTSUP', `${this.#image.file.path}: reference counts go up to ${this.width.max} only`, {
            hint: 'an image with wider counts (refcount_bits) can have more snapshots',
          });
        }
        this.width.set(block.bytes, index, value);
        this.#mark(block, index, index + 1);
        if (value === 0) this.#freed(cluster - from + index);
      }
      cluster += to - from;
    }
  }

  #freed(cluster: number): void {
    this.#hint = Math.min(this.#hint, cluster);
    this.onFree?.(cluster);
  }

  #mark(block: DirtyTable, from: number, to: number): void {
    const bits = 2 ** this.width.order;
    block.mark(Math.floor((from * bits) / 8), Math.ceil((to * bits) / 8));
  }

  /** The block that counts a cluster; undefined when there is none. */
  async #block(cluster: number): Promise<DirtyTable | undefined> {
    const index = Math.floor(cluster / this.#perBlock);
    const cached = this.#blocks.get(index);
    if (cached !== undefined) return cached;
    const offset = index < this.#table.length ? this.#table.offset(index) : 0;
    if (offset === 0) return undefined;
    if (offset % this.#image.clusterSize !== 0 || !Number.isSafeInteger(offset)) {
      return this.#image.corrupt(`refcount block ${index} is at an impossible place`);
    }
    const block = new DirtyTable(new Uint8Array(this.#image.clusterSize), offset);
    await this.#image.file.read(offset, [block.bytes]);
    this.#makeRoom();
    this.#blocks.set(index, block);
    return block;
  }

  #makeRoom(): void {
    const limit = Math.max(4, Math.floor(CACHE_BYTES / this.#image.clusterSize));
    for (const [index, block] of this.#blocks) {
      if (this.#blocks.size < limit) return;
      if (!block.isBusy) this.#blocks.delete(index);
    }
  }

  async #newBlock(cluster: number): Promise<DirtyTable> {
    const index = Math.floor(cluster / this.#perBlock);
    if (index >= this.#table.length) await this.#growTable(index);
    const there = await this.#block(cluster);
    return there ?? this.#addBlock(index, index * this.#perBlock);
  }

  /** A block of counts at this cluster, which counts as used. */
  #addBlock(index: number, at: number): DirtyTable {
    const block = new DirtyTable(new Uint8Array(this.#image.clusterSize), at * this.#image.clusterSize);
    block.mark();
    this.#makeRoom();
    this.#blocks.set(index, block);
    this.#table.setOffset(index, block.offset);
    this.#tableDirty.mark(index * ENTRY_SIZE, (index + 1) * ENTRY_SIZE);
    const counting = this.#blocks.get(Math.floor(at / this.#perBlock));
    if (counting !== undefined) {
      this.width.set(counting.bytes, at % this.#perBlock, 1);
      this.#mark(counting, at % this.#perBlock, (at % this.#perBlock) + 1);
    }
    this.#image.reserve({ first: at, count: 1 });
    return block;
  }

  /**
   * A larger table that has an entry for block `index`, the first that the old one has none for. It goes where nothing is counted yet,
   * behind the blocks that count it, and is written before the header names it.
   */
  #growTable(index: number): Promise<void> {
    return this.#image.metadataWrites.take(() => this.#writeLargerTable(index));
  }

  async #writeLargerTable(index: number): Promise<void> {
    const { clusterSize, file, header } = this.#image;
    const perCluster = clusterSize / ENTRY_SIZE;
    const wanted = Math.max(index + 2, Math.ceil(this.#table.length * 1.5));
    let clusters = Math.ceil(wanted / perCluster);
    let blocks = 1;
    // Blocks count themselves and the table behind them.
    while (blocks + clusters > blocks * this.#perBlock || index + blocks > clusters * perCluster) {
      if (index + blocks > clusters * perCluster) clusters++;
      else blocks++;
    }
    if (clusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
      throw new DiskError(
        'ENOSPC',
        `${file.path}: the image cannot grow further with clusters of ${clusterSize} bytes`,
      );
    }
    const old: ClusterRun = { first: header.refcountTableOffset / clusterSize, count: header.refcountTableClusters };
    const first = index * this.#perBlock;
    const bytes = new Uint8Array(clusters * clusterSize);
    bytes.set(this.#table.bytes);
    this.#table = new EntryTable(bytes);
    this.#tableDirty = new DirtyTable(bytes, (first + blocks) * clusterSize);
    this.#tableDirty.mark();
    for (let block = 0; block < blocks; block++) this.#addBlock(index + block, first + block);
    await this.#add({ first: first + blocks, count: clusters }, 1);
    for (const write of [...this.takeBlocks(), ...this.takeTable()]) {
      // A failure leaves the old table in the header; the image is given up, since the new one is half there.
      try {
        await file.write(write.offset, [write.bytes]);
        write.done();
      } catch (error) {
        this.#image.damage ??= 'its refcount table could not be written';
        throw error;
      }
    }
    await file.flush();
    header.refcountTableOffset = (first + blocks) * clusterSize;
    header.refcountTableClusters = clusters;
    await this.#image.writeHeaderFields(headerAt.refcountTable, [
      [8, header.refcountTableOffset],
      [4, clusters],
    ]);
    await file.flush();
    this.#image.reserve({ first: first + blocks, count: clusters });
    this.#image.unreserve(old);
    await this.#add(old, -1);
  }
}
