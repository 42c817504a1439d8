/** What the platform can do with domains' memory beyond reading and writing it, handed in; what it cannot is missing. */
import type { MapImage } from './mapped-image.ts';
import type { WatchWrites } from './write-watch.ts';

/** Fills shared memory from a file where that takes no waiting for a disk. False when it would; what the memory holds is undefined then. */
export type ReadCached = (fd: number, offset: number, into: readonly Uint8Array[]) => boolean;

export interface HostMemory {
  readonly watchWrites?: WatchWrites;
  readonly mapImage?: MapImage;
  readonly readCached?: ReadCached;
}
