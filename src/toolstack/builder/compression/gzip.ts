/**
 * One gzip member (RFC 1952). zlib's own gunzip wants more members or nothing after the first, but a kernel or ramdisk
 * may be followed by anything; so the header and trailer are read here and zlib inflates what is between.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { CorruptData } from './corrupt-data.ts';

const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;
const HEADER_SIZE = 10;
const TRAILER_SIZE = 8;

export interface GzipMember {
  readonly plain: Uint8Array;
  /** Position after the member. */
  readonly end: number;
}

export function gunzipMember(input: Uint8Array, maxSize: number): GzipMember {
  const start = headerEnd(input);
  let plain: Uint8Array;
  let end: number;
  try {
    // The `info` option makes zlib give the buffer and the engine, which knows how much it took; the types do not say so.
    const result = inflateRawSync(input.subarray(start), { info: true, maxOutputLength: maxSize }) as unknown as {
      readonly buffer: Uint8Array;
      readonly engine: { readonly bytesWritten: number };
    };
    plain = result.buffer;
    end = start + result.engine.bytesWritten;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CorruptData(`gzip data is damaged or ends early (${reason})`, { cause });
  }
  if (end + TRAILER_SIZE > input.length) throw new CorruptData('gzip data ends early');
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  if (view.getUint32(end, true) !== crc32(plain) || view.getUint32(end + 4, true) !== plain.length >>> 0) {
    throw new CorruptData('gzip data does not match its checksum');
  }
  return { plain, end: end + TRAILER_SIZE };
}

function headerEnd(input: Uint8Array): number {
  if (input.length < HEADER_SIZE + TRAILER_SIZE) throw new CorruptData('gzip data ends early');
  if (input[2] !== 8) throw new CorruptData('gzip method not known');
  const flags = input[3] as number;
  let at = HEADER_SIZE;
  if (flags & FEXTRA) at += 2 + (input[at] as number) + (input[at + 1] as number) * 256;
  for (const flag of [FNAME, FCOMMENT]) {
    if ((flags & flag) === 0) continue;
    const nul = at < input.length ? input.indexOf(0, at) : -1;
    if (nul < 0) throw new CorruptData('gzip header ends early');
    at = nul + 1;
  }
  if (flags & FHCRC) at += 2;
  if (at >= input.length) throw new CorruptData('gzip header ends early');
  return at;
}
