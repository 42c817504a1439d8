/**
 * LZ4 legacy frames, as the kernel's build and `lz4 -l` write them: the magic, then blocks of a 32-bit packed size and
 * LZ4 block data that unpacks to at most 8 MiB. After "Legacy frame" in the LZ4 frame format and the "LZ4 Block Format".
 */
import { copyIntoZeroes } from '../copy-into-zeroes.ts';
import { CorruptData } from './corrupt-data.ts';
import { BLOCK_MAX, PACKED_MAX, unpackLz4Block } from './lz4-block.ts';

export const LZ4_LEGACY_MAGIC = [0x02, 0x21, 0x4c, 0x18] as const;

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
    const size = Math.min(plainSize - pos, BLOCK_MAX);
    const plain = unpackLz4Block(input.subarray(at, at + packed), size);
    if (plain.length !== size) throw new CorruptData('LZ4 block is shorter than it should be');
    copyIntoZeroes(out.subarray(pos), plain);
    pos += size;
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
