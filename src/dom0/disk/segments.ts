/** Cutting and copying of segments, without copies where a view does. */
import { type Segments, totalLength } from './disk.ts';

/** The part of the segments from byte `at` on. */
export function slice(segments: Segments, at: number, length: number): Segments {
  if (at === 0 && length === totalLength(segments)) return segments;
  const part: Uint8Array[] = [];
  let skip = at;
  let left = length;
  for (const segment of segments) {
    if (left === 0) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const piece = segment.subarray(skip, Math.min(segment.length, skip + left));
    part.push(piece);
    left -= piece.length;
    skip = 0;
  }
  return part;
}

export function fillZero(segments: Segments): void {
  for (const segment of segments) segment.fill(0);
}

/** Copies from one piece of memory into the segments, as much as they take. */
export function scatter(from: Uint8Array, segments: Segments): void {
  let at = 0;
  for (const segment of segments) {
    segment.set(from.subarray(at, at + segment.length));
    at += segment.length;
  }
}

/** Copies the segments into one piece of memory, which is as long as they are together or longer. */
export function gather(segments: Segments, into: Uint8Array): void {
  let at = 0;
  for (const segment of segments) {
    into.set(segment, at);
    at += segment.length;
  }
}

const MiB = 2 ** 20;
const zeroes = new Uint8Array(MiB);

/** Segments of zeroes, all views of the same memory. */
export function zeroSegments(length: number): Segments {
  const segments: Uint8Array[] = [];
  for (let left = length; left > 0; left -= MiB) segments.push(zeroes.subarray(0, Math.min(left, MiB)));
  return segments;
}

/** Whether all of the bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  if (bytes.byteOffset % 8 !== 0 || bytes.length % 8 !== 0) return bytes.every((byte) => byte === 0);
  const words = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  // -0 is zero to a comparison and not in its bits, so what looks zero is looked at again.
  for (const word of words) if (word !== 0) return false;
  const halves = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (const half of halves) if (half !== 0) return false;
  return true;
}
