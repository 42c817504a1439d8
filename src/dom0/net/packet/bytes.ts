/** Big-endian fields, as every protocol of the internet has them, and gathering bytes that lie in pieces. */

export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** 0 to 2^32 - 1. */
export function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

export function equalBytes(one: Uint8Array, two: Uint8Array): boolean {
  if (one.length !== two.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== two[i]) return false;
  return true;
}

/** Bytes `start` to `end` of what begins with `head` and goes on in `fragments`, copied. Both lie within. */
export function gather(head: Uint8Array, fragments: readonly Uint8Array[], start: number, end: number): Uint8Array {
  const result = new Uint8Array(end - start);
  let base = 0;
  for (let i = -1; i < fragments.length && base < end; i++) {
    const piece = i < 0 ? head : fragments[i];
    if (piece === undefined) break;
    const from = Math.max(start - base, 0);
    const to = Math.min(end - base, piece.length);
    if (from < to)
      result.set(from === 0 && to === piece.length ? piece : piece.subarray(from, to), base + from - start);
    base += piece.length;
  }
  return result;
}
