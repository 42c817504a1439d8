/** A qcow2 image as a disk: finds the clusters of each request, allocates and copies where it has to. */
import { type Codecs } from '../disk-file.ts';
import { type Disk, type Segments, totalLength, type ZeroRun } from '../disk.ts';
import { type LockMode, type RangeLock, RangeLocks } from '../range-locks.ts';
import { RequestGate } from '../requests.ts';
import { zeroSegments } from '../segments.ts';
import { ClusterReader } from './cluster-reader.ts';
import { ClusterWriter } from './cluster-writer.ts';
import { Commits } from './commit.ts';
import { CompressedWriter } from './compressed-writer.ts';
import { type ImageFile } from './image-file.ts';
import { Mapping } from './mapping.ts';
import { type Refcounts } from './refcounts.ts';

/** A long discard or zeroing holds so much of the disk at a time. */
const CLEAR_AT_A_TIME = 256 * 2 ** 20;
const WRITE_ZEROES_AT_A_TIME = 8 * 2 ** 20;

export interface Qcow2Parts {
  readonly image: ImageFile;
  readonly refcounts: Refcounts;
  readonly l1: Uint8Array;
  readonly backing: Disk | undefined;
  readonly codecs: Codecs;
}

export class Qcow2Disk implements Disk {
  readonly format = 'qcow2';
  readonly readOnly: boolean;
  readonly discardGranularity: number;
  readonly backing: Disk | undefined;
  readonly image: ImageFile;
  readonly refcounts: Refcounts;
  readonly mapping: Mapping;
  readonly commits: Commits;
  readonly codecs: Codecs;
  readonly #gate: RequestGate;
  readonly #locks = new RangeLocks();
  readonly #reader: ClusterReader;
  readonly #writer: ClusterWriter;
  readonly #compressedWriter: CompressedWriter;
  readonly #clusterSize: number;

  constructor({ image, refcounts, l1, backing, codecs }: Qcow2Parts) {
    const { file } = image;
    this.image = image;
    this.refcounts = refcounts;
    this.backing = backing;
    this.codecs = codecs;
    this.commits = new Commits(image, refcounts);
    this.mapping = new Mapping(image, refcounts, l1, (run) => this.commits.drop(run));
    this.readOnly = file.readOnly;
    this.#clusterSize = image.clusterSize;
    this.discardGranularity = file.readOnly ? 0 : image.clusterSize;
    this.#gate = new RequestGate(file.path, () => this.size, file.readOnly);
    this.#reader = new ClusterReader(image, this.mapping, backing, codecs);
    this.#writer = new ClusterWriter(image, refcounts, this.mapping, this.commits, this.#reader);
    this.#compressedWriter = new CompressedWriter(image, refcounts, this.mapping);
    refcounts.onFree = () => this.#reader.compressed.forget();
  }

  get size(): number {
    return this.image.header.size;
  }

  read(offset: number, into: Segments): Promise<void> {
    const length = totalLength(into);
    return this.#gate.run('read', offset, length, async () => {
      const waiting = this.#lock(offset, length, 'shared');
      const lock = waiting instanceof Promise ? await waiting : waiting;
      try {
        await this.#reader.read(offset, into, length);
      } finally {
        lock.release();
      }
    });
  }

  readNow(offset: number, into: Segments): boolean {
    const length = totalLength(into);
    return this.#isFree('read', offset, length) && this.#reader.readNow(offset, into, length);
  }

  writeNow(offset: number, from: Segments): boolean {
    const length = totalLength(from);
    if (this.image.damage !== undefined || this.commits.isDue(this.mapping)) return false;
    return this.#isFree('write', offset, length) && this.#writer.writeNow(offset, from, length);
  }

  write(offset: number, from: Segments): Promise<void> {
    const length = totalLength(from);
    return this.#gate.run('write', offset, length, () => this.#writeLocked(offset, from, length));
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      const first = Math.min(offset + length, Math.ceil(offset / this.#clusterSize) * this.#clusterSize);
      const last = Math.max(first, Math.floor((offset + length) / this.#clusterSize) * this.#clusterSize);
      await this.#writeZeroBytes(offset, first - offset);
      if (this.image.header.version >= 3 || this.backing === undefined) await this.#clearClusters(first, last, true);
      else await this.#writeZeroBytes(first, last - first);
      await this.#writeZeroBytes(last, offset + length - last);
    });
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      // A version 2 image has no way to say that a cluster is zero when there is something else behind it.
      if (this.image.header.version < 3 && this.backing !== undefined) return;
      const first = Math.ceil(offset / this.#clusterSize) * this.#clusterSize;
      const end = offset + length;
      // The disk's last cluster may be cut off by its end.
      const last = end === this.size ? end : Math.floor(end / this.#clusterSize) * this.#clusterSize;
      await this.#clearClusters(first, last, false);
    });
  }

  flush(): Promise<void> {
    return this.#gate.run('flush', 0, 0, async () => {
      if (!this.readOnly) await this.commits.commit(this.mapping);
    });
  }

  async close(): Promise<void> {
    if (!(await this.#gate.close())) return;
    try {
      if (!this.readOnly && this.image.damage === undefined) await this.#finish();
    } finally {
      await this.image.file.close();
      await this.backing?.close();
    }
  }

  /** Runs what changes the image as a whole, while no request is under way and after all tables have been written. */
  alone<T>(change: () => Promise<T>): Promise<T> {
    return this.#gate.run('write', 0, 0, async () => {
      const lock = await this.#locks.acquire(0, Number.MAX_SAFE_INTEGER, 'exclusive');
      try {
        await this.commits.settle(this.mapping);
        return await change();
      } finally {
        lock.release();
      }
    });
  }

  async zeroesAt(offset: number, length: number): Promise<ZeroRun> {
    const extent = await this.#reader.find(offset, length);
    if (extent.kind !== 'unallocated' || this.backing === undefined || offset >= this.backing.size) {
      return { length: extent.length, isZero: this.#reader.readsZero(extent, offset) };
    }
    const behind = Math.min(extent.length, this.backing.size - offset);
    return this.backing.zeroesAt?.(offset, behind) ?? { length: behind, isZero: false };
  }

  /** Stores a whole cluster packed, where nothing is yet. For the image tool, which writes an image from its beginning to its end. */
  async writeCompressed(offset: number, packed: Uint8Array): Promise<void> {
    await this.#gate.run('write', offset, 0, async () => {
      this.image.requireSound();
      const lock = await this.#lock(offset, this.#clusterSize, 'exclusive');
      try {
        await this.commits.markDirty();
        await this.#compressedWriter.write(offset, packed);
      } finally {
        lock.release();
      }
      if (this.commits.isDue(this.mapping)) await this.commits.commit(this.mapping);
    });
  }

  /** Nobody is about to move what is there; a write in place shares the range with others. */
  #isFree(kind: 'read' | 'write', offset: number, length: number): boolean {
    if (!this.#gate.allows(kind, offset, length)) return false;
    const last = Math.max(offset, offset + length - 1);
    return this.#locks.isFree(Math.floor(offset / this.#clusterSize), Math.floor(last / this.#clusterSize), 'shared');
  }

  #lock(offset: number, length: number, mode: LockMode): RangeLock | Promise<RangeLock> {
    const last = Math.max(offset, offset + length - 1);
    return this.#locks.acquire(Math.floor(offset / this.#clusterSize), Math.floor(last / this.#clusterSize), mode);
  }

  async #writeLocked(offset: number, from: Segments, length: number): Promise<void> {
    this.image.requireSound();
    if (this.commits.isDue(this.mapping)) await this.commits.commit(this.mapping);
    let mode: LockMode = (await this.#writer.isInPlace(offset, length)) ? 'shared' : 'exclusive';
    for (;;) {
      const lock = await this.#lock(offset, length, mode);
      try {
        // Looked at again, now that it cannot change: somebody else may have written there, or discarded it.
        const isInPlace = await this.#writer.isInPlace(offset, length);
        if (isInPlace && mode === 'exclusive') lock.downgrade();
        if (isInPlace || mode === 'exclusive') return await this.#writer.write(offset, from, length);
      } finally {
        lock.release();
      }
      mode = 'exclusive';
    }
  }

  async #writeZeroBytes(offset: number, length: number): Promise<void> {
    const end = offset + length;
    for (let at = offset; at < end; at += WRITE_ZEROES_AT_A_TIME) {
      const run = await this.zeroesAt(at, end - at);
      const part = Math.min(WRITE_ZEROES_AT_A_TIME, end - at);
      if (!run.isZero || run.length < part) await this.#writeLocked(at, zeroSegments(part), part);
    }
  }

  async #clearClusters(from: number, to: number, keep: boolean): Promise<void> {
    this.image.requireSound();
    for (let at = from; at < to; at += CLEAR_AT_A_TIME) {
      const part = Math.min(CLEAR_AT_A_TIME, to - at);
      const lock = await this.#lock(at, part, 'exclusive');
      try {
        await this.#writer.clear(at, at + part, keep);
      } finally {
        lock.release();
      }
      if (this.commits.isDue(this.mapping)) await this.commits.commit(this.mapping);
    }
  }

  /** The file ends with a whole cluster, where holes were left. */
  async #finish(): Promise<void> {
    const { file, end } = this.image;
    await this.commits.settle(this.mapping);
    if (file.kind === 'file' && (await file.size()) < end) {
      await file.truncate(end);
      await file.flush();
    }
  }
}
