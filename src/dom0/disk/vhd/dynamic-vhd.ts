/** A dynamic VHD, or a differencing one, which shows its parent where it has nothing itself. */
import { type DiskFile } from '../disk-file.ts';
import { type Disk, SECTOR_SIZE, type Segments, totalLength, type ZeroRun } from '../disk.ts';
import { RequestGate } from '../requests.ts';
import { fillZero, slice, zeroSegments } from '../segments.ts';
import { SideBySide } from '../turns.ts';
import { type BlockTable } from './block-table.ts';

/** Bitmaps of differencing disks in memory. */
const BITMAPS_KEPT = 256;

export interface DynamicVhdParts {
  readonly file: DiskFile;
  readonly size: number;
  readonly blocks: BlockTable;
  /** Of a differencing disk. */
  readonly parent: Disk | undefined;
  readonly isDifferencing: boolean;
}

export class DynamicVhd implements Disk {
  readonly format = 'vhd';
  readonly size: number;
  readonly readOnly: boolean;
  readonly discardGranularity = 0;
  readonly #file: DiskFile;
  readonly #blocks: BlockTable;
  readonly #parent: Disk | undefined;
  readonly #isDifferencing: boolean;
  readonly #gate: RequestGate;
  readonly #bitmaps = new Map<number, Uint8Array>();

  constructor({ file, size, blocks, parent, isDifferencing }: DynamicVhdParts) {
    this.#file = file;
    this.size = size;
    this.readOnly = file.readOnly;
    this.#blocks = blocks;
    this.#parent = parent;
    this.#isDifferencing = isDifferencing;
    this.#gate = new RequestGate(file.path, () => size, file.readOnly);
  }

  read(offset: number, into: Segments): Promise<void> {
    const length = totalLength(into);
    return this.#gate.run('read', offset, length, async () => {
      const work = new SideBySide();
      try {
        for (const piece of this.#pieces(offset, length)) {
          const part = slice(into, piece.at, piece.length);
          const block = this.#blocks.offset(piece.block);
          if (block === undefined) work.add(this.#readParent(offset + piece.at, part, piece.length));
          else if (this.#isDifferencing)
            work.add(this.#readMixed(block, piece.within, offset + piece.at, part, piece.length));
          else work.add(this.#file.read(block + this.#blocks.bitmapSize + piece.within, part));
        }
      } finally {
        await work.end();
      }
    });
  }

  write(offset: number, from: Segments): Promise<void> {
    const length = totalLength(from);
    return this.#gate.run('write', offset, length, () => this.#write(offset, from, length));
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, async () => {
      for (const { block, at, length: part } of this.#pieces(offset, length)) {
        if (this.#blocks.offset(block) !== undefined) await this.#write(offset + at, zeroSegments(part), part);
      }
    });
  }

  /** A block is not given back. */
  discard(offset: number, length: number): Promise<void> {
    return this.#gate.run('write', offset, length, () => Promise.resolve());
  }

  flush(): Promise<void> {
    return this.#gate.run('flush', 0, 0, async () => {
      if (!this.readOnly) await this.#blocks.commit();
    });
  }

  async close(): Promise<void> {
    if (!(await this.#gate.close())) return;
    try {
      if (!this.readOnly) await this.#blocks.commit();
    } finally {
      await this.#file.close();
      await this.#parent?.close();
    }
  }

  zeroesAt(offset: number, length: number): Promise<ZeroRun> {
    const [piece] = this.#pieces(offset, length);
    const isZero = piece !== undefined && !this.#isDifferencing && this.#blocks.offset(piece.block) === undefined;
    return Promise.resolve({ length: piece?.length ?? length, isZero });
  }

  async #write(offset: number, from: Segments, length: number): Promise<void> {
    const work = new SideBySide();
    try {
      for (const { block, within, at, length: part } of this.#pieces(offset, length)) {
        const start = this.#blocks.offset(block) ?? (await this.#blocks.allocate(block));
        work.add(this.#file.write(start + this.#blocks.bitmapSize + within, slice(from, at, part)));
      }
    } finally {
      await work.end();
    }
  }

  *#pieces(
    offset: number,
    length: number,
  ): Generator<{ readonly block: number; readonly within: number; readonly at: number; readonly length: number }> {
    const { blockSize } = this.#blocks;
    for (let at = 0; at < length;) {
      const block = Math.floor((offset + at) / blockSize);
      const within = offset + at - block * blockSize;
      const part = Math.min(length - at, blockSize - within);
      yield { block, within, at, length: part };
      at += part;
    }
  }

  /** The bitmap says which sectors are here; the first is the highest bit. */
  async #readMixed(block: number, within: number, offset: number, into: Segments, length: number): Promise<void> {
    const bitmap = await this.#bitmap(block);
    const isHere = (sector: number): boolean => (((bitmap[sector >> 3] ?? 0) >> (7 - (sector & 7))) & 1) !== 0;
    for (let at = 0; at < length;) {
      const sector = (within + at) / SECTOR_SIZE;
      const here = isHere(sector);
      let end = at + SECTOR_SIZE;
      while (end < length && isHere((within + end) / SECTOR_SIZE) === here) end += SECTOR_SIZE;
      const part = slice(into, at, end - at);
      if (here) await this.#file.read(block + this.#blocks.bitmapSize + within + at, part);
      else await this.#readParent(offset + at, part, end - at);
      at = end;
    }
  }

  async #bitmap(block: number): Promise<Uint8Array> {
    let bitmap = this.#bitmaps.get(block);
    if (bitmap !== undefined) return bitmap;
    bitmap = new Uint8Array(this.#blocks.bitmapSize);
    await this.#file.read(block, [bitmap]);
    for (const oldest of this.#bitmaps.keys()) {
      if (this.#bitmaps.size < BITMAPS_KEPT) break;
      this.#bitmaps.delete(oldest);
    }
    this.#bitmaps.set(block, bitmap);
    return bitmap;
  }

  async #readParent(offset: number, into: Segments, length: number): Promise<void> {
    const inside = this.#parent === undefined ? 0 : Math.max(0, Math.min(length, this.#parent.size - offset));
    fillZero(slice(into, inside, length - inside));
    if (inside > 0) await this.#parent?.read(offset, slice(into, 0, inside));
  }
}
