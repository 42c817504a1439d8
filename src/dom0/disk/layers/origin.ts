/**
 * A disk of which there may be snapshots. Before a cluster is changed for the first time after a snapshot, what was there is copied to a temporary file, in which the
 * snapshot then finds it (copy before write). The disk itself stays what it is: its image knows nothing of this.
 *
 * What keeps the order: a snapshot reads the disk while it holds the clusters, shared; copying holds them alone. So a snapshot sees a cluster as it was, in the
 * disk before it is copied, in the copy afterwards, and the change begins after that. A snapshot is taken while no change is under way.
 */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { type Disk, type Segments, totalLength } from '../disk.ts';
import { type RangeLock, RangeLocks } from '../range-locks.ts';
import { fillZero, isZero, slice } from '../segments.ts';
import { SideBySide, Turns } from '../turns.ts';
import { DiskSnapshot } from './disk-snapshot.ts';
import { type Generation, Generations, LOST, ZERO } from './generations.ts';

export const CLUSTER_SIZE = 65536;
/** Clusters that are read from the disk at once, to be kept. */
const KEPT_AT_ONCE = 16;

export interface OriginGlue {
  /** A new, empty file that is gone once it is closed. */
  readonly createFile: () => Promise<DiskFile>;
  /** The last snapshot is closed. */
  readonly onFree: () => Promise<void>;
}

/** A piece of a request that lies in one place. */
interface Piece {
  /** A slot, ZERO, LOST; undefined: the disk. */
  readonly slot: number | undefined;
  /** Bytes from the beginning of the request. */
  readonly at: number;
  readonly length: number;
  /** Bytes from the beginning of the slot. */
  readonly within: number;
}

export class Origin {
  readonly disk: Disk;
  readonly depth: number;
  readonly #glue: OriginGlue;
  readonly #generations = new Generations();
  readonly #locks = new RangeLocks();
  readonly #snapshots = new Turns();
  /** Under way. */
  #changes = 0;
  #onSettled: (() => void) | undefined;
  /** Resolves when changes may begin again; there while one is about to take a snapshot. */
  #held: Promise<void> | undefined;
  #file: DiskFile | undefined;
  #opening: Promise<DiskFile> | undefined;

  /** `depth`: how many disks lie behind each other, this one included. */
  constructor(disk: Disk, depth: number, glue: OriginGlue) {
    this.disk = disk;
    this.depth = depth;
    this.#glue = glue;
  }

  get hasSnapshots(): boolean {
    return !this.#generations.isEmpty;
  }

  /** The disk at this moment, with all changes that have been answered; those under way are waited for. */
  snapshot(): Promise<DiskSnapshot> {
    return this.#snapshots.take(async () => {
      let release: () => void = () => undefined;
      if (this.#changes > 0) {
        this.#held = new Promise((resolve) => (release = resolve));
        await new Promise<void>((resolve) => (this.#onSettled = resolve));
      }
      const snapshot = new DiskSnapshot(this, this.#generations.take());
      this.#held = undefined;
      release();
      return snapshot;
    });
  }

  // --- the owner's side ------------------------------------------------------------------------------------------------

  /** Runs a change of the range, once snapshots do not need what is there. */
  change(offset: number, length: number, run: () => Promise<void>): Promise<void> {
    if (this.#held === undefined && this.#generations.isEmpty) {
      this.#changes++;
      const change = run();
      const ended = (): void => this.#ended();
      change.then(ended, ended);
      return change;
    }
    return this.#changeKept(offset, length, run);
  }

  /** `change`, if nothing has to be waited for. */
  changeNow(offset: number, length: number, run: () => boolean): boolean {
    if (this.#held !== undefined) return false;
    if (!this.#generations.isEmpty && this.#missing(offset, length).next().done !== true) return false;
    return run();
  }

  /** A discard is a hint: what a snapshot needs and has not got yet stays, which costs less than copying it. */
  async discard(offset: number, length: number): Promise<void> {
    if (this.#held === undefined && this.#generations.isEmpty)
      return this.change(offset, length, () => this.disk.discard(offset, length));
    await this.#settled();
    this.#changes++;
    try {
      let at = offset;
      for (const { from, to } of [...this.#missing(offset, length), { from: offset + length, to: offset + length }]) {
        if (from > at) await this.disk.discard(at, from - at);
        at = Math.max(at, to);
      }
    } finally {
      this.#ended();
    }
  }

  // --- the snapshots' side ---------------------------------------------------------------------------------------------

  async read(generation: Generation, offset: number, into: Segments): Promise<void> {
    const length = totalLength(into);
    if (length === 0) return;
    const lock = await this.#lock(offset, length, 'shared');
    const work = new SideBySide();
    try {
      for (const piece of this.#pieces(generation, offset, length))
        work.add(this.#readPiece(piece, offset, slice(into, piece.at, piece.length)));
    } finally {
      try {
        await work.end();
      } finally {
        lock.release();
      }
    }
  }

  readNow(generation: Generation, offset: number, into: Segments): boolean {
    const length = totalLength(into);
    if (length === 0) return true;
    if (!this.#locks.isFree(clusterOf(offset), clusterOf(offset + length - 1), 'shared')) return false;
    for (const { slot, at, length: part, within } of this.#pieces(generation, offset, length)) {
      const target = slice(into, at, part);
      if (slot === ZERO) fillZero(target);
      else if (slot === undefined) {
        if (this.disk.readNow?.(offset + at, target) !== true) return false;
      } else if (slot === LOST || this.#file?.readNow?.(slot * CLUSTER_SIZE + within, target) !== true) return false;
    }
    return true;
  }

  share(generation: Generation): DiskSnapshot {
    this.#generations.share(generation);
    return new DiskSnapshot(this, generation);
  }

  /** A snapshot of this moment is closed. */
  async drop(generation: Generation): Promise<void> {
    this.#generations.drop(generation);
    if (!this.#generations.isEmpty) return;
    // Whoever copies just now ends first.
    const lock = await this.#locks.acquire(0, Number.MAX_SAFE_INTEGER, 'exclusive');
    try {
      if (!this.#generations.isEmpty) return;
      const file = this.#file;
      this.#file = undefined;
      this.#generations.reset();
      await file?.close();
    } finally {
      lock.release();
    }
    if (this.#generations.isEmpty) await this.#glue.onFree();
  }

  // --- keeping ---------------------------------------------------------------------------------------------------------

  async #changeKept(offset: number, length: number, run: () => Promise<void>): Promise<void> {
    await this.#settled();
    this.#changes++;
    try {
      // What is missing changes with each round, and others copy too.
      for (let next = this.#nextMissing(offset, length); next !== undefined; next = this.#nextMissing(offset, length))
        await this.#keep(
          clusterOf(next.from),
          Math.min(clusterOf(next.to - 1) - clusterOf(next.from) + 1, KEPT_AT_ONCE),
        );
      await run();
    } finally {
      this.#ended();
    }
  }

  /** Until nobody is about to take a snapshot. */
  async #settled(): Promise<void> {
    while (this.#held !== undefined) await this.#held;
  }

  #ended(): void {
    if (--this.#changes > 0) return;
    const tell = this.#onSettled;
    this.#onSettled = undefined;
    tell?.();
  }

  #nextMissing(offset: number, length: number): { from: number; to: number } | undefined {
    const [next] = this.#missing(offset, length);
    return next;
  }

  /** The parts of the range that a snapshot still needs from the disk. Of a range that is not on the disk, none: the disk refuses it. */
  *#missing(offset: number, length: number): Generator<{ readonly from: number; readonly to: number }> {
    if (!Number.isSafeInteger(offset) || !(offset >= 0 && length > 0 && offset + length <= this.disk.size)) return;
    const last = clusterOf(offset + length - 1);
    for (let cluster = clusterOf(offset); cluster <= last; cluster++) {
      if (!this.#generations.misses(cluster)) continue;
      const from = cluster;
      while (cluster < last && this.#generations.misses(cluster + 1)) cluster++;
      yield {
        from: Math.max(offset, from * CLUSTER_SIZE),
        to: Math.min(offset + length, (cluster + 1) * CLUSTER_SIZE),
      };
    }
  }

  /**
   * Copies clusters of the disk to the file. What cannot be copied, for want of space say, is lost to the snapshots and no reason for the owner not to go on: its disk
   * is whole.
   */
  async #keep(first: number, count: number): Promise<void> {
    const begin = first * CLUSTER_SIZE;
    const lock = await this.#lock(begin, count * CLUSTER_SIZE, 'exclusive');
    try {
      const bytes = new Uint8Array(Math.min(count * CLUSTER_SIZE, this.disk.size - begin));
      await this.disk.read(begin, [bytes]);
      const work = new SideBySide();
      for (let at = 0; at < bytes.length; at += CLUSTER_SIZE)
        work.add(this.#keepCluster(first + at / CLUSTER_SIZE, bytes.subarray(at, at + CLUSTER_SIZE)));
      await work.end();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      for (let cluster = first; cluster < first + count; cluster++) this.#generations.put(cluster, LOST);
    } finally {
      lock.release();
    }
  }

  async #keepCluster(cluster: number, bytes: Uint8Array): Promise<void> {
    if (!this.#generations.misses(cluster)) return;
    if (isZero(bytes)) return this.#generations.put(cluster, ZERO);
    const file = this.#file ?? (await this.#openFile());
    const slot = this.#generations.allocate();
    try {
      await file.write(slot * CLUSTER_SIZE, [bytes]);
    } catch (error) {
      this.#generations.free(slot);
      throw error;
    }
    this.#generations.put(cluster, slot);
  }

  async #openFile(): Promise<DiskFile> {
    this.#opening ??= this.#glue.createFile();
    try {
      return (this.#file = await this.#opening);
    } finally {
      this.#opening = undefined;
    }
  }

  // --- finding ---------------------------------------------------------------------------------------------------------

  #lock(offset: number, length: number, mode: 'shared' | 'exclusive'): RangeLock | Promise<RangeLock> {
    return this.#locks.acquire(clusterOf(offset), clusterOf(offset + length - 1), mode);
  }

  *#pieces(generation: Generation, offset: number, length: number): Generator<Piece> {
    for (let at = 0; at < length;) {
      const cluster = clusterOf(offset + at);
      const slot = this.#generations.find(generation, cluster);
      const within = offset + at - cluster * CLUSTER_SIZE;
      let part = CLUSTER_SIZE - within;
      // What has not changed is read in one go.
      const next = (): number => clusterOf(offset + at + part);
      while (slot === undefined && at + part < length && this.#generations.find(generation, next()) === undefined)
        part += CLUSTER_SIZE;
      yield { slot, at, length: Math.min(part, length - at), within };
      at += part;
    }
  }

  async #readPiece({ slot, at, within }: Piece, offset: number, into: Segments): Promise<void> {
    if (slot === undefined) return this.disk.read(offset + at, into);
    if (slot === ZERO) return fillZero(into);
    if (slot === LOST || this.#file === undefined)
      throw new DiskError('EIO', 'what was here could not be kept when the snapshot was written over', {
        hint: 'the run directory had no space',
      });
    return this.#file.read(slot * CLUSTER_SIZE + within, into);
  }
}

function clusterOf(offset: number): number {
  return Math.floor(offset / CLUSTER_SIZE);
}
