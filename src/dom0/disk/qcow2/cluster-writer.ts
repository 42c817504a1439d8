/**
 * Writes of the disk: in place where the image has a cluster for itself, else to a new cluster, which is filled with what was there before
 * and only then put into the tables. Whoever calls holds the range, exclusively where something is allocated.
 */
import { type Segments } from '../disk.ts';
import { slice, zeroSegments } from '../segments.ts';
import { SideBySide } from '../turns.ts';
import { type ClusterReader } from './cluster-reader.ts';
import { type Commits } from './commit.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { type Extent, type Mapping } from './mapping.ts';
import { type Refcounts } from './refcounts.ts';

export class ClusterWriter {
  readonly #image: ImageFile;
  readonly #refcounts: Refcounts;
  readonly #mapping: Mapping;
  readonly #commits: Commits;
  readonly #reader: ClusterReader;

  constructor(image: ImageFile, refcounts: Refcounts, mapping: Mapping, commits: Commits, reader: ClusterReader) {
    this.#image = image;
    this.#refcounts = refcounts;
    this.#mapping = mapping;
    this.#commits = commits;
    this.#reader = reader;
  }

  /** Whether all of the range can be written where it is. */
  async isInPlace(offset: number, length: number): Promise<boolean> {
    for (let at = 0; at < length;) {
      const found = this.#mapping.find(offset + at, length - at);
      if (found instanceof Promise) {
        await found;
        continue;
      }
      if (!isInPlace(found)) return false;
      at += found.length;
    }
    return true;
  }

  /** False when something has to be allocated, or a table is not in memory. */
  writeNow(offset: number, from: Segments, length: number): boolean {
    const { file } = this.#image;
    for (let at = 0; at < length;) {
      const found = this.#mapping.peek(offset + at, length - at);
      if (found === undefined || !isInPlace(found) || !this.#isPossible(found)) return false;
      if (file.writeNow?.(found.host, slice(from, at, found.length)) !== true) return false;
      at += found.length;
    }
    return true;
  }

  async write(offset: number, from: Segments, length: number): Promise<void> {
    const work = new SideBySide();
    try {
      for (let at = 0; at < length;) {
        const found = this.#mapping.find(offset + at, length - at);
        if (found instanceof Promise) {
          await found;
          continue;
        }
        const part = slice(from, at, found.length);
        if (isInPlace(found)) work.add(this.#overwrite(found, part));
        else await this.#writeNew(found, offset + at, part);
        at += found.length;
      }
    } finally {
      await work.end();
    }
  }

  /** Makes whole clusters read as zeroes; the last may reach beyond the disk. `keep` leaves them the clusters of the file that they have. */
  async clear(from: number, to: number, keep: boolean): Promise<void> {
    const { clusterSize, header } = this.#image;
    for (let at = from; at < to;) {
      const extent = await this.#reader.find(at, to - at);
      if (!this.#isClear(extent, at, keep)) {
        const canBeZero = header.version >= 3;
        // Without the zero flag a cluster that is not there must do.
        const kind = canBeZero && (keep || !this.#reader.isBeyondBacking(at)) ? 'zero' : 'unallocated';
        await this.#commits.markDirty();
        await this.#mapping.clear(at, Math.ceil(extent.length / clusterSize), kind, keep && canBeZero);
      }
      at += extent.length;
    }
  }

  #isClear(extent: Extent, offset: number, keep: boolean): boolean {
    if (extent.kind === 'zero') return keep || extent.host === 0;
    return extent.kind === 'unallocated' && (this.#reader.readsZero(extent, offset) || !keep);
  }

  #isPossible({ host, length }: Extent): boolean {
    return !this.#image.isReserved(this.#image.clustersAt(host, length)) && host + length <= this.#image.end;
  }

  #overwrite(extent: Extent, from: Segments): Promise<void> {
    const { host, length } = extent;
    if (this.#isPossible(extent)) return this.#image.file.write(host, from);
    const { first } = this.#image.clustersAt(host, length);
    return this.#image.corrupt(`data is said to be where none can be, at cluster ${first}`);
  }

  async #writeNew(extent: Extent, offset: number, from: Segments): Promise<void> {
    const { clusterSize } = this.#image;
    const end = offset + extent.length;
    let cluster = Math.floor(offset / clusterSize);
    const last = Math.floor((end - 1) / clusterSize);
    await this.#commits.markDirty();
    // A cluster that is kept for zeroes gets its data, and then its flag is taken away.
    const isKept = extent.kind === 'zero' && extent.isOurs && extent.host !== 0;
    const kept = isKept && extent.host < this.#image.end ? extent.host : undefined;
    while (cluster <= last) {
      const count = last - cluster + 1;
      const run =
        kept === undefined
          ? await this.#allocate(count)
          : this.#image.clustersAt(kept - (offset % clusterSize), count * clusterSize);
      const begin = Math.max(offset, cluster * clusterSize);
      const stop = Math.min(end, (cluster + run.count) * clusterSize);
      try {
        await this.#fill(extent, run, cluster * clusterSize, begin, slice(from, begin - offset, stop - begin), stop);
        await this.#mapping.point(cluster * clusterSize, run.count, run.first * clusterSize);
      } catch (error) {
        if (kept === undefined) await this.#refcounts.update([run], -1).catch(() => undefined);
        throw error;
      }
      cluster += run.count;
    }
  }

  async #allocate(count: number): Promise<ClusterRun> {
    const run = await this.#refcounts.allocate(count);
    if (this.#image.isReserved(run)) return this.#image.corrupt(`cluster ${run.first} counts as free but is not`);
    return run;
  }

  /** Writes a run of new clusters, whose first is for the disk's byte `at`: the request from `begin` to `stop`, and around it what was there. */
  async #fill(extent: Extent, run: ClusterRun, at: number, begin: number, from: Segments, stop: number): Promise<void> {
    const { clusterSize, file } = this.#image;
    const host = run.first * clusterSize;
    const length = run.count * clusterSize;
    // Where nothing has ever been written there are zeroes already, and a hole takes no space.
    const isFresh = host >= this.#image.end && file.kind === 'file';
    this.#image.end = Math.max(this.#image.end, host + length);
    const head = begin - at;
    const tail = at + length - stop;
    const before = head === 0 ? [] : await this.#old(extent, at, head, isFresh);
    const behind = tail === 0 ? [] : await this.#old(extent, stop, tail, isFresh);
    await file.write(before === undefined ? host + head : host, [...(before ?? []), ...from, ...(behind ?? [])]);
  }

  /** What was there; undefined when it can be left out. */
  async #old(extent: Extent, offset: number, length: number, isFresh: boolean): Promise<Segments | undefined> {
    if (this.#reader.readsZero(extent, offset)) return isFresh ? undefined : zeroSegments(length);
    const bytes = [new Uint8Array(length)];
    await this.#reader.read(offset, bytes, length);
    return bytes;
  }
}

function isInPlace({ kind, isOurs }: Extent): boolean {
  return kind === 'data' && isOurs;
}
