/** Requests that follow each other on the disk become one call of it: an extent. */
import { BLKIF_SECTOR } from '../../abi/io/blkif.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { BlockRequest, Segment } from './block-request.ts';
import type { Lease } from './grant-pool.ts';

/** As much as one call of the disk gets together. */
const MAX_EXTENT_BYTES = 1024 * 1024;

/** One request's share of an extent. */
export interface Transfer {
  readonly request: BlockRequest;
  readonly write: boolean;
  /** Bytes from the beginning of the disk. */
  readonly offset: number;
  readonly length: number;
  readonly memory: readonly Uint8Array[];
  readonly lease: Lease;
}

export class Extent {
  readonly write: boolean;
  readonly offset: number;
  length: number;
  readonly transfers: Transfer[];
  readonly memory: Uint8Array[];

  constructor(first: Transfer) {
    this.write = first.write;
    this.offset = first.offset;
    this.length = first.length;
    this.transfers = [first];
    this.memory = [...first.memory];
  }

  /** False when the transfer does not follow on it. */
  append(next: Transfer): boolean {
    if (next.write !== this.write || next.offset !== this.offset + this.length) return false;
    if (this.length + next.length > MAX_EXTENT_BYTES) return false;
    this.length += next.length;
    this.transfers.push(next);
    this.memory.push(...next.memory);
    return true;
  }
}

/** The guest's memory for the segments, one piece for frames that lie side by side. The lease is of their pages. */
export function memoryOf(segments: readonly Segment[], lease: Lease): Uint8Array[] {
  const memory: Uint8Array[] = [];
  let start = 0;
  let end = 0;
  segments.forEach(({ first, last }, place) => {
    const page = (lease.frames[place] ?? 0) * PAGE_SIZE;
    const from = page + first * BLKIF_SECTOR;
    if (from !== end) {
      if (end > start) memory.push(lease.bytes(start, end - start));
      start = from;
    }
    end = page + (last + 1) * BLKIF_SECTOR;
  });
  if (end > start) memory.push(lease.bytes(start, end - start));
  return memory;
}
