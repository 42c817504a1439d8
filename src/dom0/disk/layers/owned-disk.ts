/** A disk as its owner has it, open for writing, while others may take snapshots of it. Without any, a request costs a call more. */
import { DiskError } from '../disk-error.ts';
import { type Disk, type Segments, totalLength } from '../disk.ts';
import { type Origin } from './origin.ts';

export class OwnedDisk implements Disk {
  readonly format: Disk['format'];
  readonly size: number;
  readonly readOnly: boolean;
  readonly #origin: Origin;
  readonly #disk: Disk;
  readonly #release: () => Promise<void>;
  #closed = false;

  /** `release` is called once, after the last flush. */
  constructor(origin: Origin, release: () => Promise<void>) {
    this.#origin = origin;
    this.#disk = origin.disk;
    this.format = origin.disk.format;
    this.size = origin.disk.size;
    this.readOnly = origin.disk.readOnly;
    this.#release = release;
  }

  get discardGranularity(): number {
    return this.#disk.discardGranularity;
  }

  read(offset: number, into: Segments): Promise<void> {
    return this.#closed ? refused() : this.#disk.read(offset, into);
  }

  readNow(offset: number, into: Segments): boolean {
    return !this.#closed && this.#disk.readNow?.(offset, into) === true;
  }

  write(offset: number, from: Segments): Promise<void> {
    if (this.#closed) return refused();
    return this.#origin.change(offset, totalLength(from), () => this.#disk.write(offset, from));
  }

  writeNow(offset: number, from: Segments): boolean {
    if (this.#closed || this.#disk.writeNow === undefined) return false;
    return this.#origin.changeNow(offset, totalLength(from), () => this.#disk.writeNow?.(offset, from) === true);
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    if (this.#closed) return refused();
    return this.#origin.change(offset, length, () => this.#disk.writeZeroes(offset, length));
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#closed ? refused() : this.#origin.discard(offset, length);
  }

  flush(): Promise<void> {
    return this.#closed ? refused() : this.#disk.flush();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#release();
  }
}

function refused(): Promise<never> {
  return Promise.reject(new DiskError('EBADF', 'the disk is closed'));
}
