/**
 * The .xz container, after "The .xz File Format" 1.1.0: stream header, blocks (LZMA2, optionally behind the x86 branch
 * filter), index, footer. All checks that are there are verified.
 *
 * `unxz` is a generator, so that a large archive never has to be in memory whole: the yielded pieces are views of a
 * buffer that is used again, valid until the next one is asked for.
 */
import { crc32 } from 'node:zlib';
import { undoX86Filter } from './bcj-x86.ts';
import { CorruptData } from './corrupt-data.ts';
import { Crc64 } from './crc64.ts';
import { Lzma2 } from './lzma2.ts';

export const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const;
const FOOTER_MAGIC = 0x5a59;
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
/** No kernel or archive here comes near it; a header that asks for more is not worth the memory. */
const MAX_DICTIONARY = 0x1000_0000;

/** Sizes of the check fields by check ID, section 2.1.1.2 "Stream Flags". */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;
const CHECK_CRC32 = 1;
const CHECK_CRC64 = 4;

export interface XzEnd {
  /** Position after the stream's footer; what follows is not looked at. */
  readonly end: number;
}

/** Called with the position in the input that decoding has come to. */
export type XzProgress = (at: number) => void;

/** Decodes the one stream that `input` begins with, and ignores what comes after it. */
export function* unxz(input: Uint8Array, progress: XzProgress = () => undefined): Generator<Uint8Array, XzEnd> {
  if (XZ_MAGIC.some((byte, i) => input[i] !== byte)) throw new CorruptData('not an xz stream');
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const checkId = byteAt(input, 7);
  if (input[6] !== 0 || checkId > 15) throw new CorruptData('xz stream flags not known');
  verifyCrc(input, 6, 8, u32(view, 8), 'stream header');

  let at = 12;
  let blocks = 0;
  while (byteAt(input, at) !== 0) {
    at = yield* block(input, view, at, checkId, progress);
    blocks++;
  }
  return { end: footer(input, view, at, blocks, checkId) };
}

function* block(
  input: Uint8Array,
  view: DataView,
  start: number,
  checkId: number,
  progress: XzProgress,
): Generator<Uint8Array, number> {
  const headerEnd = start + byteAt(input, start) * 4;
  verifyCrc(input, start, headerEnd, u32(view, headerEnd), 'block header');
  const flags = byteAt(input, start + 1);
  if (flags & 0x3c) throw new CorruptData('xz block flags not known');
  const cursor = { at: start + 2 };
  const packedSize = flags & 0x40 ? vli(input, cursor) : undefined;
  const plainSize = flags & 0x80 ? vli(input, cursor) : undefined;
  const filters = (flags & 3) + 1;
  let x86Offset: number | undefined;
  let dictionary = 0;
  for (let i = 0; i < filters; i++) {
    const id = vli(input, cursor);
    const propsSize = vli(input, cursor);
    const isLast = i === filters - 1;
    if (isLast && id === FILTER_LZMA2 && propsSize === 1) {
      dictionary = dictionarySize(byteAt(input, cursor.at));
    } else if (!isLast && id === FILTER_X86 && x86Offset === undefined && (propsSize === 0 || propsSize === 4)) {
      x86Offset = propsSize === 4 ? u32(view, cursor.at) : 0;
    } else {
      throw new CorruptData(`xz filter 0x${id.toString(16)} is not supported`);
    }
    cursor.at += propsSize;
  }
  if (cursor.at > headerEnd) throw new CorruptData('xz block header overruns');

  const check = makeCheck(checkId);
  const lzma2 = new Lzma2(input, headerEnd + 4, dictionary);
  let produced = 0;
  if (x86Offset === undefined) {
    for (const piece of lzma2.pieces()) {
      check.update(piece);
      produced += piece.length;
      progress(lzma2.at);
      yield piece;
    }
  } else {
    const whole = lzma2.whole();
    undoX86Filter(whole, x86Offset);
    check.update(whole);
    produced = whole.length;
    yield whole;
  }
  if (plainSize !== undefined && plainSize !== produced)
    throw new CorruptData('xz block has another size than it says');
  if (packedSize !== undefined && packedSize !== lzma2.at - headerEnd - 4) {
    throw new CorruptData('xz block has another packed size than it says');
  }
  let at = lzma2.at;
  while ((at - start) % 4 !== 0) if (byteAt(input, at++) !== 0) throw new CorruptData('xz block padding is not zero');
  check.verify(view, at);
  return at + (CHECK_SIZES[checkId] as number);
}

/** Index and stream footer; gives the position after them. */
function footer(input: Uint8Array, view: DataView, start: number, blocks: number, checkId: number): number {
  const cursor = { at: start + 1 };
  if (vli(input, cursor) !== blocks) throw new CorruptData('xz index does not match the blocks');
  for (let i = 0; i < blocks; i++) {
    vli(input, cursor);
    vli(input, cursor);
  }
  while ((cursor.at - start) % 4 !== 0) {
    if (byteAt(input, cursor.at++) !== 0) throw new CorruptData('xz index padding is not zero');
  }
  verifyCrc(input, start, cursor.at, u32(view, cursor.at), 'index');
  const at = cursor.at + 4;
  verifyCrc(input, at + 4, at + 10, u32(view, at), 'stream footer');
  if ((u32(view, at + 4) + 1) * 4 !== at - start || byteAt(input, at + 9) !== checkId) {
    throw new CorruptData('xz stream footer does not match the stream');
  }
  if (byteAt(input, at + 10) + byteAt(input, at + 11) * 256 !== FOOTER_MAGIC) {
    throw new CorruptData('xz stream footer is missing');
  }
  return at + 12;
}

interface Check {
  update(bytes: Uint8Array): void;
  verify(view: DataView, at: number): void;
}

/** Checks of other kinds than CRC-32 and CRC-64 (SHA-256 exists) are skipped, as liblzma does when built without them. */
function makeCheck(id: number): Check {
  if (id === CHECK_CRC32) {
    let value = 0;
    return {
      update: (bytes) => void (value = crc32(bytes, value)),
      verify: (view, at) => differs(u32(view, at) !== value),
    };
  }
  if (id === CHECK_CRC64) {
    const crc = new Crc64();
    return {
      update: (bytes) => crc.update(bytes),
      verify: (view, at) => differs(u32(view, at) !== crc.value.lo || u32(view, at + 4) !== crc.value.hi),
    };
  }
  return { update: () => undefined, verify: () => undefined };
}

function differs(wrong: boolean): void {
  if (wrong) throw new CorruptData('xz data does not match its checksum');
}

/** Section 5.3.1 "LZMA2": 2^n or 3 * 2^(n - 1), from 4 KiB. */
function dictionarySize(byte: number): number {
  if (byte > 40) throw new CorruptData('xz dictionary size out of range');
  const size = (2 | (byte & 1)) * 2 ** ((byte >>> 1) + 11);
  if (size > MAX_DICTIONARY) throw new CorruptData(`xz dictionary of ${size} bytes is too large`);
  return size;
}

/** Section 1.2 "Multibyte integers", bounded to what a double holds. */
function vli(input: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  for (let shift = 0; shift < 49; shift += 7) {
    const byte = byteAt(input, cursor.at++);
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
  throw new CorruptData('xz number too large');
}

function verifyCrc(input: Uint8Array, from: number, to: number, expected: number, what: string): void {
  if (crc32(input.subarray(from, to)) !== expected) throw new CorruptData(`xz ${what} is damaged`);
}

function byteAt(input: Uint8Array, at: number): number {
  const byte = input[at];
  if (byte === undefined) throw new CorruptData('xz data ends early');
  return byte;
}

function u32(view: DataView, at: number): number {
  if (at + 4 > view.byteLength) throw new CorruptData('xz data ends early');
  return view.getUint32(at, true);
}

/** Whether a file ends as an xz stream does, without unpacking it; zero bytes may follow ("2.2. Stream Padding"). */
export function checkXzEnd(input: Uint8Array): void {
  let end = input.length;
  while (end > 12 && input[end - 1] === 0) end--;
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  if (end < 24 || byteAt(input, end - 2) + byteAt(input, end - 1) * 256 !== FOOTER_MAGIC) {
    throw new CorruptData('xz data ends early');
  }
  verifyCrc(input, end - 8, end - 2, u32(view, end - 12), 'stream footer');
}
