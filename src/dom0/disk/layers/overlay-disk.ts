/**
 * A writable disk on top of one that stays as it is: what is written goes to a temporary file, at the same place, and what is not there is read from below. Which
 * sectors are there is known in memory only, for neither outlives this process; so there are no tables to keep in order, nothing is copied, and a flush has nothing to do.
 */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { type Disk, type Segments, totalLength } from '../disk.ts';
import { RequestGate } from '../requests.ts';
import { slice, zeroSegments } from '../segments.ts';
import { SideBySide } from '../turns.ts';
import { SectorSet } from './sector-set.ts';

const PUNCHED_AT_LEAST = 4096;
const ZEROES_AT_A_TIME = 8 * 2 ** 20;

export class OverlayDisk implements Disk {
  readonly format = 'raw';
  readonly size: number;
  readonly readOnly = false;
  readonly #file: DiskFile;
  readonly #below: Disk;
  readonly #here = new SectorSet();
  readonly #gate: RequestGate;

  /** `file` is empty and nobody else's, `below` does not change; both are closed with the overlay. */
  constructor(file: DiskFile, below: Disk) {
    this.#file = file;
    this.#below = below;
    this.size = below.size;
    this.#gate = new RequestGate(file.path, () => this.size, false);
  }

  get discardGranularity(): number {
    return this.#file.punches ? PUNCHED_AT_LEAST : 0;
  }

  read(offset: number, into: Segments): Promise<void> {
    const length = totalLength(into);
    return this.#gate.run('read', offset, length, async () => {
      const work = new SideBySide();
      for (let at = 0; at < length;) {
        const part = this.#here.run(offset + at, length - at);
        work.add(this.#sourceOf(offset + at).read(offset + at, slice(into, at, part)));
        at += part;
      }
      await work.end();
    });
  }

  readNow(offset: number, into: Segments): boolean {
    const length = totalLength(into);
    if (!this.#gate.allows('read', offset, length)) return false;
    for (let at = 0; at < length;) {
      const part = this.#here.run(offset + at, length - at);
      if (this.#sourceOf(offset + at).readNow?.(offset + at, slice(into, at, part)) !== true) return false;
      at += part;
    }
    return true;
  }

  write(offset: number, from: Segments): Promise<void> {
    const length = totalLength(from);
    return this.#gate.run('write', offset, length, async () => {
      await this.#file.write(offset, from);
      this.#here.add(offset, length);
    });
  }

  writeNow(offset: number, from: Segments): boolean {
    const length = totalLength(from);
    if (!this.#gate.allows('write', offset, length) || this.#file.writeNow?.(offset, from) !== true) return false;
    this.#here.add(offset, length);
    return true;
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      if (await this.#punch(offset, length)) return;
      for (let at = offset; at < offset + length; at += ZEROES_AT_A_TIME) {
        const part = Math.min(ZEROES_AT_A_TIME, offset + length - at);
        await this.#file.write(at, zeroSegments(part));
        this.#here.add(at, part);
      }
    });
  }

  /** It reads as zeroes then, and what was written there takes no space any more. */
  discard(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      await this.#punch(offset, length);
    });
  }

  flush(): Promise<void> {
    return this.#gate.run('flush', 0, 0, () => Promise.resolve());
  }

  async close(): Promise<void> {
    if (!(await this.#gate.close())) return;
    try {
      await this.#file.close();
    } finally {
      await this.#below.close();
    }
  }

  #sourceOf(offset: number): Pick<DiskFile, 'read' | 'readNow'> {
    return this.#here.has(offset) ? this.#file : this.#below;
  }

  /** False where the host makes no holes. */
  async #punch(offset: number, length: number): Promise<boolean> {
    if (length === 0) return true;
    if (!this.#file.punches) return false;
    try {
      await this.#file.punch(offset, length);
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOTSUP') return false;
      throw error;
    }
    this.#here.add(offset, length);
    return true;
  }
}
