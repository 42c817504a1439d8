/**
 * Tables of 64-bit big-endian entries: L1, L2, and the refcount table (docs/interop/qcow2.txt, "Cluster mapping"). An entry is handled as
 * two halves; the offset in it is an exact number, as far as files go.
 */

/** Bit 63: this table is the only one that refers to the cluster. In the high half. */
export const OFLAG_COPIED = 0x80000000;
/** Bit 62: the cluster is compressed. In the high half. */
export const OFLAG_COMPRESSED = 0x40000000;
/** Bit 0: the cluster reads as zeroes (version 3). In the low half. */
export const OFLAG_ZERO = 1;

export const ENTRY_SIZE = 8;
const HIGH_OFFSET_BITS = 0x00ffffff;
const TWO_32 = 2 ** 32;

export class EntryTable {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length / ENTRY_SIZE;
  }

  high(index: number): number {
    return this.#view.getUint32(index * ENTRY_SIZE);
  }

  low(index: number): number {
    return this.#view.getUint32(index * ENTRY_SIZE + 4);
  }

  /** Bits 9 to 55. Not for compressed clusters. */
  offset(index: number): number {
    return (this.high(index) & HIGH_OFFSET_BITS) * TWO_32 + ((this.low(index) & ~511) >>> 0);
  }

  isCopied(index: number): boolean {
    return (this.high(index) & OFLAG_COPIED) !== 0;
  }

  set(index: number, high: number, low: number): void {
    this.#view.setUint32(index * ENTRY_SIZE, high);
    this.#view.setUint32(index * ENTRY_SIZE + 4, low);
  }

  setOffset(index: number, offset: number, highFlags = 0, lowFlags = 0): void {
    this.set(index, (Math.floor(offset / TWO_32) | highFlags) >>> 0, ((offset % TWO_32) | lowFlags) >>> 0);
  }
}
