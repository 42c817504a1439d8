/**
 * What a block backend, or the image tool, sees of a disk: sectors that are read and written, whatever the format behind them.
 *
 * Requests may overlap in time; those on different sectors do not wait for each other unless the format's own tables make them. Two
 * requests on the same sectors at the same time happen in some order, or mixed.
 *
 * A write that has been answered is seen by every later read. It is safe from a crash of this process, or of the machine, once a `flush`
 * that began after the answer has been answered.
 */

/** Both of a sector's sizes in every format here: what offsets and lengths are multiples of. */
export const SECTOR_SIZE = 512;

/** Pieces of memory that lie one after the other on the disk, such as a guest's granted frames. They may be views of shared memory. */
export type Segments = readonly Uint8Array[];

export const diskFormats = ['raw', 'qcow2', 'vhd'] as const;
export type DiskFormat = (typeof diskFormats)[number];

/** Every method but `close` fails with a DiskError; a request outside the disk or not of whole sectors is EINVAL and touches nothing. */
export interface Disk {
  readonly format: DiskFormat;
  /** Bytes; a multiple of SECTOR_SIZE. */
  readonly size: number;
  /** A write, discard or flush of a read-only disk is EROFS; a flush of one is answered at once. */
  readonly readOnly: boolean;
  /** Bytes of which a discard gives whole, aligned pieces back to the host; 0 when it would do nothing. */
  readonly discardGranularity: number;
  /** Fills the segments, in order. They must stay as they are until the answer. */
  read(offset: number, into: Segments): Promise<void>;
  write(offset: number, from: Segments): Promise<void>;
  /**
   * `read` and `write` at once, for a request that needs no waiting: most of those that the host's page cache can answer. False: it is
   * to be asked for in the other way, which also tells what is wrong with it. What the segments hold, or the sectors, is undefined until then.
   */
  readNow?(offset: number, into: Segments): boolean;
  writeNow?(offset: number, from: Segments): boolean;
  /** The range reads as zeroes afterwards. */
  writeZeroes(offset: number, length: number): Promise<void>;
  /** The guest needs the range no more: it reads as zeroes or as before afterwards. */
  discard(offset: number, length: number): Promise<void>;
  /** What is known, without reading data, of the bytes from `offset` on: whether they are zeroes, for at least so many. */
  zeroesAt?(offset: number, length: number): Promise<ZeroRun>;
  flush(): Promise<void>;
  /** Waits for what is under way, flushes, and lets go of the files. Later calls of anything are EBADF; closing twice does nothing. */
  close(): Promise<void>;
}

export interface ZeroRun {
  readonly length: number;
  /** False when it is not known. */
  readonly isZero: boolean;
}

/** The bytes of all segments together. */
export function totalLength(segments: Segments): number {
  let total = 0;
  for (const segment of segments) total += segment.length;
  return total;
}
