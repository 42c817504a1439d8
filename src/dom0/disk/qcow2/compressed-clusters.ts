/** Reading of compressed clusters, the last of which are kept: a guest reads 4 KiB at a time from a cluster that is unpacked whole. */
import { DiskError } from '../disk-error.ts';
import { type Codecs } from '../disk-file.ts';
import { type ImageFile } from './image-file.ts';
import { compressedPlace } from './mapping.ts';
import { zstdFrameLength } from './zstd-frame.ts';

const CACHE_BYTES = 4 * 2 ** 20;

export class CompressedClusters {
  readonly #image: ImageFile;
  readonly #codecs: Codecs;
  /** By descriptor, in the order of use. */
  readonly #cache = new Map<number, Promise<Uint8Array>>();
  readonly #limit: number;

  constructor(image: ImageFile, codecs: Codecs) {
    this.#image = image;
    this.#codecs = codecs;
    this.#limit = Math.max(2, Math.floor(CACHE_BYTES / image.clusterSize));
  }

  /** A whole cluster's bytes; they are shared, so only to be read. */
  read(high: number, low: number): Promise<Uint8Array> {
    // Two clusters never begin at the same byte, so the place tells them apart.
    const { start } = compressedPlace(this.#image, high, low);
    const cached = this.#cache.get(start);
    const cluster = cached ?? this.#unpack(high, low);
    this.#cache.delete(start);
    this.#cache.set(start, cluster);
    if (cached === undefined) {
      cluster.catch(() => this.#cache.delete(start));
      for (const oldest of this.#cache.keys()) {
        if (this.#cache.size <= this.#limit) break;
        this.#cache.delete(oldest);
      }
    }
    return cluster;
  }

  /** Something else may be written where compressed data was. */
  forget(): void {
    this.#cache.clear();
  }

  async #unpack(high: number, low: number): Promise<Uint8Array> {
    const { clusterSize, file, header } = this.#image;
    const { start, length } = compressedPlace(this.#image, high, low);
    const packed = new Uint8Array(length);
    await file.read(start, [packed]);
    let reason: unknown;
    try {
      const cluster =
        header.compressionType === 'zstd'
          ? await this.#codecs.zstdDecompress(packed.subarray(0, zstdFrameLength(packed)), clusterSize)
          : await this.#codecs.inflateRaw(packed, clusterSize);
      if (cluster.length === clusterSize) return cluster;
    } catch (error) {
      reason = error;
    }
    throw new DiskError('EIO', `${file.path}: the compressed cluster at byte ${start} cannot be unpacked`, {
      cause: reason,
    });
  }
}
