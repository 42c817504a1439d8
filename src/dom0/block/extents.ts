/** Requests that follow each other on the disk become one call of it: an extent. */
import type { BlockRequest } from './block-request.ts';
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
  readonly leases: readonly Lease[];
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

/** Puts a piece of memory behind the others; one piece when the guest's frames lie side by side. */
export function addPiece(memory: Uint8Array[], piece: Uint8Array): void {
  const last = memory.at(-1);
  if (last !== undefined && last.buffer === piece.buffer && last.byteOffset + last.byteLength === piece.byteOffset) {
    memory[memory.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.byteLength + piece.byteLength);
  } else {
    memory.push(piece);
  }
}
