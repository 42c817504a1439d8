/**
 * Where a dynamic VHD's blocks lie: its block allocation table, and new blocks at the end of the file. The data of a new block is written
 * and flushed before the table names it; the footer at the end of the file moves behind it first.
 */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { SECTOR_SIZE } from '../disk.ts';
import { zeroSegments } from '../segments.ts';
import { Turns } from '../turns.ts';
import { type DynamicHeader } from './dynamic-header.ts';
import { FOOTER_SIZE } from './footer.ts';

const UNUSED = 0xffffffff;

export class BlockTable {
  readonly blockSize: number;
  /** Bytes of a block's bitmap, whole sectors before its data. */
  readonly bitmapSize: number;
  readonly #file: DiskFile;
  readonly #table: DataView;
  readonly #tableOffset: number;
  readonly #footer: Uint8Array;
  readonly #allocating = new Turns();
  readonly #committing = new Turns();
  #dirty = new Set<number>();
  /** Where the next block goes; the footer is there. */
  #end: number;
  /** Nothing has been written from here on. */
  #freshFrom: number;

  constructor(file: DiskFile, header: DynamicHeader, table: Uint8Array, footer: Uint8Array, fileSize: number) {
    this.#file = file;
    this.blockSize = header.blockSize;
    this.bitmapSize = Math.ceil(header.blockSize / SECTOR_SIZE / 8 / SECTOR_SIZE) * SECTOR_SIZE;
    this.#tableOffset = header.tableOffset;
    this.#table = new DataView(table.buffer);
    this.#footer = footer;
    this.#freshFrom = file.kind === 'file' ? fileSize : Infinity;
    let end = header.tableOffset + Math.ceil((header.entries * 4) / SECTOR_SIZE) * SECTOR_SIZE;
    for (let index = 0; index < header.entries; index++) {
      const offset = this.offset(index);
      if (offset !== undefined && offset >= fileSize && !file.readOnly) {
        throw new DiskError('EINVAL', `${file.path}: block ${index} is at an impossible place`);
      }
      if (offset !== undefined) end = Math.max(end, offset + this.bitmapSize + this.blockSize);
    }
    this.#end = end;
  }

  /** Where a block's bitmap begins. */
  offset(index: number): number | undefined {
    const sector = this.#table.getUint32(index * 4);
    return sector === UNUSED ? undefined : sector * SECTOR_SIZE;
  }

  /** Where it begins, after it has been made if it was not there. */
  allocate(index: number): Promise<number> {
    return this.#allocating.take(async () => {
      const there = this.offset(index);
      if (there !== undefined) return there;
      const offset = this.#end;
      const next = offset + this.bitmapSize + this.blockSize;
      if (next / SECTOR_SIZE >= UNUSED) throw new DiskError('ENOSPC', `${this.#file.path} cannot grow further`);
      await this.#file.write(next, [this.#footer]);
      // The bytes behind the old footer may be those of a block that no table has got to name.
      const isFresh = offset + FOOTER_SIZE >= this.#freshFrom;
      const bitmap = new Uint8Array(this.bitmapSize).fill(0xff);
      await this.#file.write(offset, isFresh ? [bitmap] : [bitmap, ...zeroSegments(this.blockSize)]);
      this.#end = next;
      this.#freshFrom = Math.max(this.#freshFrom, next + FOOTER_SIZE);
      this.#table.setUint32(index * 4, offset / SECTOR_SIZE);
      this.#dirty.add(index);
      return offset;
    });
  }

  commit(): Promise<void> {
    return this.#committing.take(async () => {
      const dirty = this.#dirty;
      this.#dirty = new Set();
      const entries = [...dirty].map((index) => ({ index, bytes: this.#entry(index) }));
      await this.#file.flush();
      try {
        for (const { index, bytes } of entries) await this.#file.write(this.#tableOffset + index * 4, [bytes]);
        if (entries.length > 0) await this.#file.flush();
      } catch (error) {
        for (const index of dirty) this.#dirty.add(index);
        throw error;
      }
    });
  }

  #entry(index: number): Uint8Array {
    return new Uint8Array(this.#table.buffer.slice(index * 4, index * 4 + 4));
  }
}
