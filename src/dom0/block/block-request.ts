/** A request as it was copied from the ring: nothing of it changes any more, and everything in it may be wrong. */
import {
  BLKIF_OP,
  BLKIF_MAX_SEGMENTS_PER_REQUEST,
  BlkifRequestSegment,
  type BlkifProtocol,
} from '../../abi/io/blkif.ts';

/** What a guest may put into one indirect request; `feature-max-indirect-segments`, Linux' MAX_INDIRECT_SEGMENTS. */
export const MAX_INDIRECT_SEGMENTS = 256;

/** Sectors `first` to `last` of the frame that `gref` grants. */
export interface Segment {
  readonly gref: number;
  readonly first: number;
  readonly last: number;
}

export class BlockRequest {
  readonly operation: number;
  readonly #protocol: BlkifProtocol;
  readonly #view: DataView;

  constructor(words: Int32Array, protocol: BlkifProtocol) {
    this.#protocol = protocol;
    this.#view = new DataView(words.buffer, words.byteOffset, words.byteLength);
    this.operation = this.#view.getUint8(protocol.request.operation);
  }

  /** What is to be done, which the response repeats: for an indirect request the operation within. blkfront gives up on another answer. */
  get effective(): number {
    return this.operation === BLKIF_OP.INDIRECT
      ? this.#view.getUint8(this.#protocol.indirect.indirect_op)
      : this.operation;
  }

  get segmentCount(): number {
    return this.operation === BLKIF_OP.INDIRECT
      ? this.#view.getUint16(this.#protocol.indirect.nr_segments, true)
      : this.#view.getUint8(this.#protocol.request.nr_segments);
  }

  /** In units of 512 bytes; inexact, but large, where no disk has sectors. */
  get sector(): number {
    return this.#u64(this.#protocol.request.sector_number);
  }

  /** Of a discard. */
  get sectorCount(): number {
    return this.#u64(this.#protocol.discard.nr_sectors);
  }

  /** Of a request that is not indirect. */
  segment(index: number): Segment {
    return readSegment(this.#view, this.#protocol.request.seg + index * BlkifRequestSegment.size);
  }

  indirectFrame(index: number): number {
    return this.#view.getUint32(this.#protocol.indirect.indirect_grefs + index * 4, true);
  }

  /** Fills in the response; the id is the guest's own and is carried as it is. */
  response(status: number, into: DataView): void {
    const { request, response } = this.#protocol;
    into.setUint32(response.id, this.#view.getUint32(request.id, true), true);
    into.setUint32(response.id + 4, this.#view.getUint32(request.id + 4, true), true);
    into.setUint16(response.operation, this.effective, true); // with the pad behind it
    into.setInt16(response.status, status, true);
  }

  #u64(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }
}

const at = BlkifRequestSegment.at;

/** A segment in a request, or in an indirect page that the guest can change meanwhile: each member is read once. */
export function readSegment(view: DataView, base: number): Segment {
  return {
    gref: view.getUint32(base + at.gref, true),
    first: view.getUint8(base + at.first_sect),
    last: view.getUint8(base + at.last_sect),
  };
}

/** How many segments a request may have. */
export function segmentLimit(request: BlockRequest): number {
  return request.operation === BLKIF_OP.INDIRECT ? MAX_INDIRECT_SEGMENTS : BLKIF_MAX_SEGMENTS_PER_REQUEST;
}
