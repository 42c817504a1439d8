/** A file or block device whose bytes are the disk's. */
import { DiskError } from './disk-error.ts';
import { type DiskFile } from './disk-file.ts';
import { type Disk, type DiskFormat, SECTOR_SIZE, type Segments, totalLength } from './disk.ts';
import { RequestGate } from './requests.ts';
import { zeroSegments } from './segments.ts';

/** What one call writes of zeroes at most, so that a long request of a guest does not hold everything up. */
const ZEROES_AT_A_TIME = 8 * 2 ** 20;

export class RawDisk implements Disk {
  readonly format: DiskFormat;
  readonly size: number;
  readonly readOnly: boolean;
  readonly #file: DiskFile;
  readonly #gate: RequestGate;

  /** A file that does not end with a whole sector ends with zeroes. */
  static async open(file: DiskFile): Promise<RawDisk> {
    const size = await file.size();
    return new RawDisk(file, Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE);
  }

  /** `format` is for a fixed VHD, whose bytes are the disk's as well. */
  constructor(file: DiskFile, size: number, format: DiskFormat = 'raw') {
    this.#file = file;
    this.format = format;
    this.size = size;
    this.readOnly = file.readOnly;
    this.#gate = new RequestGate(file.path, () => size, file.readOnly);
  }

  get discardGranularity(): number {
    return this.#file.punches && !this.readOnly ? 4096 : 0;
  }

  read(offset: number, into: Segments): Promise<void> {
    return this.#gate.run('read', offset, totalLength(into), () => this.#file.read(offset, into));
  }

  write(offset: number, from: Segments): Promise<void> {
    return this.#gate.run('write', offset, totalLength(from), () => this.#file.write(offset, from));
  }

  readNow(offset: number, into: Segments): boolean {
    return this.#gate.allows('read', offset, totalLength(into)) && this.#file.readNow?.(offset, into) === true;
  }

  writeNow(offset: number, from: Segments): boolean {
    return this.#gate.allows('write', offset, totalLength(from)) && this.#file.writeNow?.(offset, from) === true;
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      for (let at = offset; at < offset + length; at += ZEROES_AT_A_TIME) {
        await this.#file.write(at, zeroSegments(Math.min(ZEROES_AT_A_TIME, offset + length - at)));
      }
    });
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      if (length > 0 && this.discardGranularity > 0) await this.#file.punch(offset, length);
    });
  }

  flush(): Promise<void> {
    return this.#gate.run('flush', 0, 0, async () => {
      if (!this.readOnly) await this.#file.flush();
    });
  }

  async close(): Promise<void> {
    if (!(await this.#gate.close())) return;
    try {
      if (!this.readOnly) await this.#file.flush();
    } finally {
      await this.#file.close();
    }
  }
}

/** For messages about a format that is asked for by name. */
export function unknownFormat(format: string): DiskError {
  return new DiskError('EINVAL', `no disk format "${format}"`, { hint: 'the formats are raw, qcow2 and vhd' });
}
