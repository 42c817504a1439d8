/** What the platform can do with domains' memory beyond reading and writing it, handed in; what it cannot is missing. */
import type { MapImage } from './mapped-image.ts';
import type { WatchWrites } from './write-watch.ts';

export interface HostMemory {
  readonly watchWrites?: WatchWrites;
  readonly mapImage?: MapImage;
}
