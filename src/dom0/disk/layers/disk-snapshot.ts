/** A disk as it was at a moment, to read, whatever its owner writes to it since. */
import { type Disk, type Segments, totalLength } from '../disk.ts';
import { RequestGate } from '../requests.ts';
import { type Generation } from './generations.ts';

/** What a snapshot needs of the disk it is of. */
export interface SnapshotSource {
  readonly disk: Disk;
  readonly depth: number;
  read(generation: Generation, offset: number, into: Segments): Promise<void>;
  readNow(generation: Generation, offset: number, into: Segments): boolean;
  share(generation: Generation): DiskSnapshot;
  drop(generation: Generation): Promise<void>;
}

export class DiskSnapshot implements Disk {
  readonly format: Disk['format'];
  readonly size: number;
  /** How many disks it may have to ask for a sector. */
  readonly depth: number;
  readonly readOnly = true;
  readonly discardGranularity = 0;
  readonly #source: SnapshotSource;
  readonly #generation: Generation;
  readonly #gate: RequestGate;

  constructor(source: SnapshotSource, generation: Generation) {
    this.format = source.disk.format;
    this.size = source.disk.size;
    this.depth = source.depth;
    this.#source = source;
    this.#generation = generation;
    this.#gate = new RequestGate('a snapshot', () => this.size, true);
  }

  /** Another of the same moment, with a life of its own. EBADF when this one is closed. */
  again(): Promise<DiskSnapshot> {
    return this.#gate.run('flush', 0, 0, () => Promise.resolve(this.#source.share(this.#generation)));
  }

  read(offset: number, into: Segments): Promise<void> {
    return this.#gate.run('read', offset, totalLength(into), () => this.#source.read(this.#generation, offset, into));
  }

  readNow(offset: number, into: Segments): boolean {
    return this.#gate.allows('read', offset, totalLength(into)) && this.#source.readNow(this.#generation, offset, into);
  }

  write(offset: number, from: Segments): Promise<void> {
    return this.writeZeroes(offset, totalLength(from));
  }

  /** EROFS, as every change. */
  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, () => Promise.resolve());
  }

  discard(offset: number, length: number): Promise<void> {
    return this.writeZeroes(offset, length);
  }

  flush(): Promise<void> {
    return this.#gate.run('flush', 0, 0, () => Promise.resolve());
  }

  /** Lets go of what is kept for it. */
  async close(): Promise<void> {
    if (await this.#gate.close()) await this.#source.drop(this.#generation);
  }
}
