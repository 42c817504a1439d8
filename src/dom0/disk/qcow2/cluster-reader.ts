/** Reads of the disk, from wherever its clusters are. Whoever calls holds the range. */
import { type Codecs } from '../disk-file.ts';
import { type Disk, type Segments } from '../disk.ts';
import { fillZero, scatter, slice } from '../segments.ts';
import { SideBySide } from '../turns.ts';
import { CompressedClusters } from './compressed-clusters.ts';
import { type ImageFile } from './image-file.ts';
import { type Extent, type Mapping } from './mapping.ts';

export class ClusterReader {
  readonly compressed: CompressedClusters;
  readonly #image: ImageFile;
  readonly #mapping: Mapping;
  readonly #backing: Disk | undefined;

  constructor(image: ImageFile, mapping: Mapping, backing: Disk | undefined, codecs: Codecs) {
    this.#image = image;
    this.#mapping = mapping;
    this.#backing = backing;
    this.compressed = new CompressedClusters(image, codecs);
  }

  async find(offset: number, length: number): Promise<Extent> {
    for (;;) {
      const extent = this.#mapping.find(offset, length);
      if (!(extent instanceof Promise)) return extent;
      await extent;
    }
  }

  /** Nothing but zeroes there, without looking at data. */
  readsZero({ kind }: Extent, offset: number): boolean {
    return kind === 'zero' || (kind === 'unallocated' && this.isBeyondBacking(offset));
  }

  isBeyondBacking(offset: number): boolean {
    return this.#backing === undefined || offset >= this.#backing.size;
  }

  async read(offset: number, into: Segments, length: number): Promise<void> {
    const work = new SideBySide();
    try {
      for (let at = 0; at < length;) {
        const found = this.#mapping.find(offset + at, length - at);
        if (found instanceof Promise) {
          await found;
          continue;
        }
        const reading = this.#readExtent(found, offset + at, slice(into, at, found.length));
        if (reading !== undefined) {
          // The usual request lies in one piece.
          if (found.length === length) return await reading;
          work.add(reading);
        }
        at += found.length;
      }
    } finally {
      await work.end();
    }
  }

  /** False when a table or the data is not in memory, or the data is packed or in the backing file. */
  readNow(offset: number, into: Segments, length: number): boolean {
    for (let at = 0; at < length;) {
      const found = this.#mapping.peek(offset + at, length - at);
      if (found === undefined) return false;
      const part = slice(into, at, found.length);
      if (found.kind === 'data') {
        if (this.#image.file.readNow?.(found.host, part) !== true) return false;
      } else if (this.readsZero(found, offset + at)) fillZero(part);
      else return false;
      at += found.length;
    }
    return true;
  }

  #readExtent(extent: Extent, offset: number, into: Segments): Promise<void> | undefined {
    switch (extent.kind) {
      case 'data':
        return this.#image.file.read(extent.host, into);
      case 'compressed':
        return this.#readCompressed(extent, offset, into);
      case 'unallocated':
        if (!this.readsZero(extent, offset)) return this.#readBacking(offset, into, extent.length);
        break;
      case 'zero':
        break;
    }
    fillZero(into);
    return undefined;
  }

  async #readCompressed({ high, low, length }: Extent, offset: number, into: Segments): Promise<void> {
    const cluster = await this.compressed.read(high, low);
    const within = offset % this.#image.clusterSize;
    scatter(cluster.subarray(within, within + length), into);
  }

  async #readBacking(offset: number, into: Segments, length: number): Promise<void> {
    const backing = this.#backing;
    if (backing === undefined) return;
    const inside = Math.min(length, backing.size - offset);
    if (inside < length) fillZero(slice(into, inside, length - inside));
    await backing.read(offset, slice(into, 0, inside));
  }
}
