/**
 * The x86 branch filter of xz, decoding direction: displacements of CALL and JMP were stored as absolute addresses,
 * which repeat more often. Works in place, on the whole output of a block. After ".xz file format", section 5.3.2
 * "Branch/Call/Jump Filters for Executables".
 *
 * An E8 or E9 byte is not always an opcode. The encoder skipped those that looked like data, judging from the E8/E9
 * bytes among the three before (`seen`: bit n is set when one lies n + 1 places back) and from the sign bytes; the same
 * judgement here finds which were converted.
 */
export function undoX86Filter(bytes: Uint8Array, startOffset = 0): void {
  const end = bytes.length - 4;
  let seen = 0;
  let last = -1;
  for (let at = 0; at < end; at++) {
    if (((bytes[at] as number) & 0xfe) !== 0xe8) continue;
    const gap = at - last;
    seen = gap > 3 ? 0 : (seen << (gap - 1)) & 7;
    last = at;
    const place = PLACE[seen] as number;
    const isData = seen !== 0 && (!MAY_CONVERT[seen] || isSignByte(bytes[at + 4 - place] as number));
    if (isData || !isSignByte(bytes[at + 4] as number)) {
      seen = (seen << 1) | 1;
      continue;
    }
    const next = startOffset + at + 5;
    let displacement = (readU32(bytes, at + 1) - next) >>> 0;
    while (seen !== 0 && isSignByte((displacement >>> (24 - 8 * place)) & 255)) {
      // The encoder converted again whenever the result would have been mistaken for data.
      displacement = ((displacement ^ (2 ** (32 - 8 * place) - 1)) - next) >>> 0;
    }
    bytes[at + 1] = displacement;
    bytes[at + 2] = displacement >>> 8;
    bytes[at + 3] = displacement >>> 16;
    bytes[at + 4] = (displacement >>> 24) & 1 ? 0xff : 0;
    at += 4;
  }
}

const MAY_CONVERT = [true, true, true, false, true, false, false, false] as const;
/** How many bytes before the sign byte the most distant opcode seen put its own. */
const PLACE = [0, 1, 2, 2, 3, 3, 3, 3] as const;

function isSignByte(byte: number): boolean {
  return byte === 0 || byte === 0xff;
}

function readU32(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  return (low | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)) >>> 0;
}
