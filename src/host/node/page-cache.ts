/**
 * Reads that the host's page cache answers, without a thread in between: preadv2(2) with RWF_NOWAIT never waits for a disk. Node has no such call, and one
 * of its own costs 60 µs by way of a thread, of which the copy is one (docs/adr/0012). Linux with glibc only; elsewhere nothing is read at once.
 */
import { type Segments } from '../../dom0/disk/index.ts';
import { quietFfi } from './quiet-ffi.ts';

/** include/uapi/linux/fs.h: per-IO, return -EAGAIN if I/O would block. */
const RWF_NOWAIT = 8;
/** More segments than this are left to threads; a request of 1 MiB has 256 pages. */
const MOST_SEGMENTS = 512;
/** struct iovec of readv(2), in words. */
const IOVEC_WORDS = 4;
const U32 = 2 ** 32;

type Preadv2 = (fd: number, iovecs: Buffer, count: number, offset: bigint, flags: number) => number;

let preadv2: Preadv2 | 'missing' | undefined;
const iovecs = new Uint32Array(MOST_SEGMENTS * IOVEC_WORDS);
const iovecBytes = Buffer.from(iovecs.buffer);
/** Where buffers lie in the process: shared memories, which never move. */
const addresses = new WeakMap<SharedArrayBuffer, number>();

/** Fills all segments from the page cache. False when not all of it is there; what the segments hold is undefined then. */
export function readCached(fd: number, offset: number, into: Segments): boolean {
  preadv2 ??= load();
  if (preadv2 === 'missing' || into.length > MOST_SEGMENTS) return false;
  let length = 0;
  let at = 0;
  for (const segment of into) {
    const address = addressOf(segment);
    if (address === undefined) return false;
    iovecs[at] = address % U32;
    iovecs[at + 1] = Math.floor(address / U32);
    iovecs[at + 2] = segment.length;
    iovecs[at + 3] = 0;
    at += IOVEC_WORDS;
    length += segment.length;
  }
  // The offset is the one bigint: a 64-bit argument can be nothing else.
  return preadv2(fd, iovecBytes, into.length, BigInt(offset), RWF_NOWAIT) === length;
}

/** Only of shared memory, such as a guest's: that of other arrays may be moved by the collector. */
function addressOf({ buffer, byteOffset }: Uint8Array): number | undefined {
  if (!(buffer instanceof SharedArrayBuffer)) return undefined;
  let base = addresses.get(buffer);
  if (base === undefined) {
    base = Number(quietFfi().getRawPointer(new Uint8Array(buffer)));
    addresses.set(buffer, base);
  }
  return base + byteOffset;
}

function load(): Preadv2 | 'missing' {
  try {
    const { dlopen } = quietFfi();
    // What it returns is at most the length of a request, so that 32 bits of the ssize_t are enough.
    return dlopen('libc.so.6', { preadv2: { arguments: ['i32', 'buffer', 'i32', 'i64', 'i32'], return: 'i32' } })
      .functions.preadv2;
  } catch {
    return 'missing';
  }
}
