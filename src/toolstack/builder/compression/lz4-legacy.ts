/**
 * LZ4 legacy frames, as the kernel's build and `lz4 -l` write them: the magic, then blocks of a 32-bit packed size and
 * LZ4 block data that unpacks to at most 8 MiB. After "Legacy frame" in the LZ4 frame format and the "LZ4 Block Format".
 */
import { CorruptData } from './corrupt-data.ts';

export const LZ4_LEGACY_MAGIC = [0x02, 0x21, 0x4c, 0x18] as const;
const BLOCK_MAX = 8 << 20;
/** The largest packed size of 8 MiB that do not compress. */
const PACKED_MAX = BLOCK_MAX + Math.ceil(BLOCK_MAX / 255) + 16;

/**
 * Unpacks `input`. `plainSize` is the size that the kernel's build appends, when the caller found one: the four bytes
 * cannot be told from the packed size of another block, so nothing after that much output is read.
 */
export function unlz4Legacy(input: Uint8Array, plainSize: number): Uint8Array {
  const out = new Uint8Array(plainSize);
  let pos = 0;
  let at = LZ4_LEGACY_MAGIC.length;
  while (pos < plainSize) {
    const packed = readPackedSize(input, at);
    at += 4;
    const end = Math.min(plainSize, pos + BLOCK_MAX);
    const next = unpackBlock(input, at, at + packed, out, pos, end);
    if (next !== end) throw new CorruptData('LZ4 block is shorter than it should be');
    pos = next;
    at += packed;
  }
  return out;
}

/** Walks the blocks without unpacking them; throws where they do not fit together. */
export function checkLz4Legacy(input: Uint8Array): void {
  let at: number = LZ4_LEGACY_MAGIC.length;
  while (at < input.length) {
    if (input.subarray(at).every((byte) => byte === 0)) return;
    const packed = readPackedSize(input, at);
    at += 4 + packed;
  }
}

function readPackedSize(input: Uint8Array, at: number): number {
  if (at + 4 > input.length) throw new CorruptData('LZ4 data ends early');
  const packed = new DataView(input.buffer, input.byteOffset).getUint32(at, true);
  if (packed === 0 || packed > PACKED_MAX) throw new CorruptData('LZ4 block size out of range');
  if (at + 4 + packed > input.length) throw new CorruptData('LZ4 data ends early');
  return packed;
}

function unpackBlock(input: Uint8Array, from: number, to: number, out: Uint8Array, start: number, end: number): number {
  let at = from;
  let pos = start;
  const extended = (length: number): number => {
    for (;;) {
      if (at >= to) throw new CorruptData('LZ4 block ends early');
      const byte = input[at++] as number;
      length += byte;
      if (byte !== 255) return length;
    }
  };
  while (at < to) {
    const token = input[at++] as number;
    let literals = token >>> 4;
    if (literals === 15) literals = extended(literals);
    if (literals > to - at || literals > end - pos) throw new CorruptData('LZ4 literals overrun the block');
    if (literals < 32) {
      for (let i = 0; i < literals; i++) out[pos + i] = input[at + i] as number;
    } else {
      out.set(input.subarray(at, at + literals), pos);
    }
    at += literals;
    pos += literals;
    if (at === to) break; // The last sequence has literals only.

    if (at + 2 > to) throw new CorruptData('LZ4 block ends early');
    const offset = (input[at] as number) | ((input[at + 1] as number) << 8);
    at += 2;
    let length = token & 15;
    if (length === 15) length = extended(length);
    length += 4;
    if (offset === 0 || offset > pos - start) throw new CorruptData('LZ4 match reaches before the block');
    if (length > end - pos) throw new CorruptData('LZ4 match overruns the block');
    if (offset >= length && length >= 32) {
      out.copyWithin(pos, pos - offset, pos - offset + length);
    } else {
      for (let i = 0; i < length; i++) out[pos + i] = out[pos - offset + i] as number;
    }
    pos += length;
  }
  return pos;
}
