/**
 * Writes the tables that have changed in memory, in an order in which a crash at any moment leaves an image that is whole: at worst,
 * clusters are counted that nothing refers to.
 *
 *   counts of new clusters → table of the blocks of counts → L2 tables → L1 table → counts of clusters that nothing refers to any more
 *
 * Each arrow is a flush of the file, which also brings the data of new clusters to the disk before a table points there. A cluster that was
 * given up is not used again before the table that pointed to it has been replaced on the disk.
 *
 * With lazy refcounts the counts stay behind; the image is marked dirty, and whoever opens it after a crash counts again.
 */
import { DiskError } from '../disk-error.ts';
import { SideBySide, Turns } from '../turns.ts';
import { type TableWrite } from './dirty-range.ts';
import { CompatibleLazyRefcounts, Incompatible } from './header.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { type Mapping } from './mapping.ts';
import { type Refcounts } from './refcounts.ts';

/** With lazy refcounts, counts are written anyway when so many bytes of them have changed. */
const LAZY_BYTES = 4 * 2 ** 20;
/** Filesystems free whole blocks of this size, as a rule. */
const LEAST_HOLE = 4096;
/** Given up clusters that wait for a commit, in runs. */
const MANY_DROPPED = 4096;

export class Commits {
  readonly #image: ImageFile;
  readonly #refcounts: Refcounts;
  readonly #turns = new Turns();
  #dropped: ClusterRun[] = [];
  #next: Promise<void> | undefined;

  constructor(image: ImageFile, refcounts: Refcounts) {
    this.#image = image;
    this.#refcounts = refcounts;
  }

  get isLazy(): boolean {
    return (this.#image.header.compatibleFeatures & CompatibleLazyRefcounts) !== 0;
  }

  /** Clusters that a table in memory no longer refers to. */
  drop({ first, count }: ClusterRun): void {
    const last = this.#dropped.at(-1);
    if (last !== undefined && last.first + last.count === first) {
      this.#dropped[this.#dropped.length - 1] = { first: last.first, count: last.count + count };
    } else {
      this.#dropped.push({ first, count });
    }
  }

  isDue(mapping: Mapping): boolean {
    return mapping.isFull || this.#dropped.length >= MANY_DROPPED;
  }

  /** Before the first cluster is allocated: with lazy refcounts the image says that its counts are not to be relied on. */
  async markDirty(): Promise<void> {
    const { header } = this.#image;
    if (!this.isLazy || (header.incompatibleFeatures & Incompatible.dirty) !== 0) return;
    await this.#image.metadataWrites.take(async () => {
      if ((header.incompatibleFeatures & Incompatible.dirty) !== 0) return;
      await this.#image.setIncompatible(header.incompatibleFeatures | Incompatible.dirty);
    });
  }

  /** All that has been answered before is on the disk afterwards. Calls that come while one is under way share the next. */
  commit(mapping: Mapping): Promise<void> {
    return (this.#next ??= this.#turns.take(() => {
      this.#next = undefined;
      return this.#commit(mapping, this.isLazy && this.#refcounts.dirtyBytes < LAZY_BYTES);
    }));
  }

  /** Leaves nothing behind, with lazy refcounts either. */
  async settle(mapping: Mapping): Promise<void> {
    await this.#turns.take(async () => {
      do {
        await this.#commit(mapping, false);
      } while (this.#dropped.length > 0 || this.#refcounts.dirtyBytes > 0);
      const { header } = this.#image;
      if ((header.incompatibleFeatures & Incompatible.dirty) !== 0) {
        await this.#image.setIncompatible(header.incompatibleFeatures & ~Incompatible.dirty);
      }
    });
  }

  async #commit(mapping: Mapping, withoutCounts: boolean): Promise<void> {
    const { file, metadataWrites } = this.#image;
    let dropped: readonly ClusterRun[] = [];
    await metadataWrites.take(async () => {
      this.#image.requireSound();
      // All of it is taken at one moment, so that no table points to a cluster whose count is not among it.
      const counts = withoutCounts ? [] : this.#refcounts.takeBlocks();
      const countTable = withoutCounts ? [] : this.#refcounts.takeTable();
      const tables = mapping.takeTables();
      const l1 = mapping.takeL1();
      dropped = this.#dropped;
      this.#dropped = [];
      const everything = [...counts, ...countTable, ...tables, ...l1];
      try {
        await this.#write(counts, false);
        await this.#write(countTable, counts.length > 0);
        await this.#write(tables, true);
        await this.#write(l1, true);
        await file.flush();
      } catch (error) {
        for (const write of everything) write.failed();
        this.#dropped = [...dropped, ...this.#dropped];
        throw error;
      }
      for (const write of everything) write.done();
    });
    if (dropped.length === 0) return;
    await this.#giveBack(dropped);
    await this.#refcounts.update(dropped, -1);
  }

  /** To the host's filesystem, what nothing on the disk refers to any more, before anybody can use it anew. */
  async #giveBack(dropped: readonly ClusterRun[]): Promise<void> {
    const { file, clusterSize } = this.#image;
    if (clusterSize < LEAST_HOLE || !file.punches) return;
    try {
      for (const { first, count } of await this.#refcounts.countedOnce(dropped)) {
        await file.punch(first * clusterSize, count * clusterSize);
      }
    } catch (error) {
      // The clusters can be used again by this image all the same.
      if (!(error instanceof DiskError)) throw error;
    }
  }

  async #write(writes: readonly TableWrite[], flushFirst: boolean): Promise<void> {
    if (writes.length === 0) return;
    if (flushFirst) await this.#image.file.flush();
    const work = new SideBySide();
    for (const { offset, bytes } of writes) work.add(this.#image.file.write(offset, [bytes]));
    await work.end();
  }
}
