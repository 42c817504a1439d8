/** The internet checksum (RFC 1071). Sums are kept unfolded below 2^32 and folded at the end. */

/** Words that may be added up before folding: 2^16 of them stay below 2^32. */
const longest = 0x1fffe;

/** Adds the bytes to a sum, as 16-bit words in network order; `odd`: the first byte is the second half of a word. */
export function addBytes(sum: number, bytes: Uint8Array, odd = false): number {
  let total = fold(sum);
  for (let at = 0; at < bytes.length; at += longest - 1) {
    const part = bytes.length <= longest - 1 ? bytes : bytes.subarray(at, at + longest - 1);
    // `longest - 1` is odd, so every second part begins in the middle of a word.
    const swapped = odd !== ((at / (longest - 1)) % 2 === 1);
    const words = sumOfWords(part);
    total = fold(total + (swapped ? swap(words) : words));
  }
  return total;
}

function sumOfWords(bytes: Uint8Array): number {
  const { byteOffset, length } = bytes;
  if ((byteOffset & 1) === 0 && length >= 64) {
    // In the machine's order: a sum of swapped words is the swapped sum (RFC 1071, section 2 (B)). WebAssembly's hosts are little-endian.
    const words = new Uint16Array(bytes.buffer, byteOffset, length >> 1);
    let sum = 0;
    for (let i = 0; i < words.length; i++) sum += words[i] ?? 0;
    const whole = swap(fold(sum));
    return length & 1 ? fold(whole + ((bytes[length - 1] ?? 0) << 8)) : whole;
  }
  let sum = 0;
  const even = length & ~1;
  for (let i = 0; i < even; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if (length & 1) sum += (bytes[length - 1] ?? 0) << 8;
  return fold(sum);
}

function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/** To 16 bits, carries added in. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** What goes into the header. */
export function finish(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** Sum of the pseudo header of IPv4 (RFC 9293, section 3.1) or IPv6 (RFC 8200, section 8.1): the same sum for lengths below 2^16. */
export function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return addBytes(addBytes(protocol + length, source), destination);
}

/** Sum over bytes in pieces. */
export function addPieces(sum: number, pieces: readonly Uint8Array[]): number {
  let total = sum;
  let odd = false;
  for (const piece of pieces) {
    total = addBytes(total, piece, odd);
    if (piece.length & 1) odd = !odd;
  }
  return total;
}
