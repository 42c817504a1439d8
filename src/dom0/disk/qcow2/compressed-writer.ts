/** Puts packed clusters one behind the other, so that several share a cluster of the file; each counts there as a reference. */
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { compressedDescriptor, type Mapping } from './mapping.ts';
import { type Refcounts } from './refcounts.ts';
import { Turns } from '../turns.ts';

export class CompressedWriter {
  readonly #image: ImageFile;
  readonly #refcounts: Refcounts;
  readonly #mapping: Mapping;
  readonly #turns = new Turns();
  /** Where the next packed cluster goes; on a cluster's first byte there is no room left. */
  #next = 0;

  constructor(image: ImageFile, refcounts: Refcounts, mapping: Mapping) {
    this.#image = image;
    this.#refcounts = refcounts;
    this.#mapping = mapping;
  }

  /** Shorter than a cluster. */
  async write(offset: number, packed: Uint8Array): Promise<void> {
    const start = await this.#turns.take(() => this.#place(packed.length));
    await this.#image.file.write(start, [packed]);
    const { high, low } = compressedDescriptor(this.#image, start, packed.length);
    await this.#mapping.pointCompressed(offset, high, low);
  }

  async #place(length: number): Promise<number> {
    const { clusterSize } = this.#image;
    const within = this.#next % clusterSize;
    const cluster = Math.floor(this.#next / clusterSize);
    if (within !== 0 && (await this.#refcounts.get(cluster)) < this.#refcounts.width.max) {
      const more: ClusterRun = { first: cluster + 1, count: 1 };
      const fits = within + length <= clusterSize;
      if (fits || (!this.#image.isReserved(more) && (await this.#refcounts.claim(more)))) {
        await this.#refcounts.update([{ first: cluster, count: 1 }], 1);
        return this.#take(this.#next, length);
      }
    }
    const { first } = await this.#refcounts.allocate(1);
    if (this.#image.isReserved({ first, count: 1 }))
      return this.#image.corrupt(`cluster ${first} counts as free but is not`);
    return this.#take(first * clusterSize, length);
  }

  #take(start: number, length: number): number {
    const { clusterSize } = this.#image;
    this.#next = start + length;
    this.#image.end = Math.max(this.#image.end, Math.ceil(this.#next / clusterSize) * clusterSize);
    return start;
  }
}
