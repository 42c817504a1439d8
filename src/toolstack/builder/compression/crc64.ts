/** CRC-64 as xz uses it (ECMA-182, reflected), four bytes a step, in two 32-bit halves. */
const POLY_LO = 0xd7870f42;
const POLY_HI = 0xc96c5795;

const tables = makeTables();

export class Crc64 {
  #lo = -1;
  #hi = -1;

  update(bytes: Uint8Array): void {
    const { lo: tableLo, hi: tableHi } = tables;
    let lo = this.#lo;
    let hi = this.#hi;
    let i = 0;
    for (const end = bytes.length - 3; i < end; i += 4) {
      const a = 768 + ((lo ^ (bytes[i] as number)) & 255);
      const b = 512 + (((lo >>> 8) ^ (bytes[i + 1] as number)) & 255);
      const c = 256 + (((lo >>> 16) ^ (bytes[i + 2] as number)) & 255);
      const d = (lo >>> 24) ^ (bytes[i + 3] as number);
      const next = (tableLo[a] as number) ^ (tableLo[b] as number) ^ (tableLo[c] as number) ^ (tableLo[d] as number);
      const above = (tableHi[a] as number) ^ (tableHi[b] as number) ^ (tableHi[c] as number) ^ (tableHi[d] as number);
      lo = hi ^ next;
      hi = above;
    }
    for (; i < bytes.length; i++) {
      const index = (lo ^ (bytes[i] as number)) & 255;
      lo = ((lo >>> 8) | (hi << 24)) ^ (tableLo[index] as number);
      hi = (hi >>> 8) ^ (tableHi[index] as number);
    }
    this.#lo = lo;
    this.#hi = hi;
  }

  /** The check as xz stores it, low half first. */
  get value(): { lo: number; hi: number } {
    return { lo: ~this.#lo >>> 0, hi: ~this.#hi >>> 0 };
  }
}

/** Table k holds the CRC of a byte followed by k zero bytes. */
function makeTables(): { lo: Int32Array; hi: Int32Array } {
  const lo = new Int32Array(4 * 256);
  const hi = new Int32Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let l = byte;
    let h = 0;
    for (let bit = 0; bit < 8; bit++) {
      const carry = l & 1;
      l = (l >>> 1) | (h << 31);
      h >>>= 1;
      if (carry) {
        l ^= POLY_LO;
        h ^= POLY_HI;
      }
    }
    lo[byte] = l;
    hi[byte] = h;
  }
  for (let i = 256; i < 4 * 256; i++) {
    const l = lo[i - 256] as number;
    const h = hi[i - 256] as number;
    lo[i] = ((l >>> 8) | (h << 24)) ^ (lo[l & 255] as number);
    hi[i] = (h >>> 8) ^ (hi[l & 255] as number);
  }
  return { lo, hi };
}
