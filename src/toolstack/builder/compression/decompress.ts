/** Recognises a compressed stream by its first bytes, and unpacks it. */
import { zstdDecompressSync } from 'node:zlib';
import { CorruptData } from './corrupt-data.ts';
import { gunzipMember } from './gzip.ts';
import { LZ4_LEGACY_MAGIC, unlz4Legacy } from './lz4-legacy.ts';
import { unlzma } from './lzma-alone.ts';
import { unxz, XZ_MAGIC } from './xz.ts';

/** Formats of a kernel payload or ramdisk; the names are what people call the tools. */
export const compressions = {
  gzip: [0x1f, 0x8b],
  bzip2: [0x42, 0x5a, 0x68],
  xz: XZ_MAGIC,
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
  lzma: [0x5d, 0x00],
  lzo: [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a],
  lz4: LZ4_LEGACY_MAGIC,
} as const satisfies Record<string, readonly number[]>;
export type Compression = keyof typeof compressions;

/** Limit of what a kernel or ramdisk may unpack to. */
export const MAX_PLAIN = 1 << 30;

export function compressionOf(input: Uint8Array): Compression | undefined {
  const names = Object.keys(compressions) as Compression[];
  return names.find((name) => compressions[name].every((byte, i) => input[i] === byte));
}

/**
 * Unpacks the payload of a kernel. All but gzip are followed by the plain size in four bytes, which is not part of the
 * stream (linux: scripts/Makefile.lib, `size_append`).
 */
export function decompressPayload(input: Uint8Array): Uint8Array {
  const compression = compressionOf(input);
  switch (compression) {
    case 'gzip':
      return gunzipMember(input, MAX_PLAIN).plain;
    case 'xz':
      return concat(unxz(input), MAX_PLAIN);
    case 'zstd':
      return unzstd(input.subarray(0, input.length - 4), MAX_PLAIN);
    case 'lzma':
      return unlzma(input.subarray(0, input.length - 4), MAX_PLAIN);
    case 'lz4':
      return unlz4Legacy(input.subarray(0, input.length - 4), appendedSize(input));
    case 'bzip2':
    case 'lzo':
      throw new CorruptData(`${compression} compression is not supported`);
    case undefined:
      throw new CorruptData('compression not known');
  }
}

/** Unpacks a stream that nothing is appended to. */
export function decompressStream(input: Uint8Array): Uint8Array {
  const compression = compressionOf(input);
  switch (compression) {
    case 'gzip':
      return gunzipMember(input, MAX_PLAIN).plain;
    case 'xz':
      return concat(unxz(input), MAX_PLAIN);
    case 'zstd':
      return unzstd(input, MAX_PLAIN);
    case 'lzma':
      return unlzma(input, MAX_PLAIN);
    case 'lz4':
    case 'bzip2':
    case 'lzo':
    case undefined:
      throw new CorruptData(`${compression ?? 'this'} compression is not supported`);
  }
}

export function unzstd(input: Uint8Array, maxSize: number): Uint8Array {
  try {
    return zstdDecompressSync(input, { maxOutputLength: maxSize });
  } catch (cause) {
    throw new CorruptData(`zstd data is damaged or ends early (${reason(cause)})`, { cause });
  }
}

function appendedSize(input: Uint8Array): number {
  const size = new DataView(input.buffer, input.byteOffset, input.length).getUint32(input.length - 4, true);
  if (size > MAX_PLAIN) throw new CorruptData(`the payload says it unpacks to ${size} bytes`);
  return size;
}

function concat(pieces: Iterable<Uint8Array>, maxSize: number): Uint8Array {
  const copies: Uint8Array[] = [];
  let total = 0;
  for (const piece of pieces) {
    total += piece.length;
    if (total > maxSize) throw new CorruptData(`data unpacks to more than ${maxSize} bytes`);
    copies.push(piece.slice());
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const copy of copies) {
    whole.set(copy, at);
    at += copy.length;
  }
  return whole;
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
