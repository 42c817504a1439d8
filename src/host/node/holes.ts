/**
 * Giving back space of an image to the host: fallocate(2), which Node does not have, by node:ffi as in ./net/libc.ts. Filesystems free the blocks, block devices
 * discard them (Linux: Documentation/ABI/stable/sysfs-block, discard_max_bytes). Linux with glibc only.
 */
import { readFileSync } from 'node:fs';
import { type DiskFile } from '../../dom0/disk/index.ts';
import { quietFfi } from './quiet-ffi.ts';

/** include/uapi/linux/falloc.h */
const FALLOC_FL_KEEP_SIZE = 1n;
const FALLOC_FL_PUNCH_HOLE = 2n;
const PAGE_SIZE = 4096;

type Fallocate = (fd: number, mode: bigint, offset: bigint, length: bigint) => number;

let fallocate: Fallocate | 'missing' | undefined;

/** Blocks the thread while the host does it. False when the host refuses; what is there then stays. */
export function punchHole(fd: number, offset: number, length: number): boolean {
  fallocate ??= load();
  if (fallocate === 'missing') return false;
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BigInt(offset), BigInt(length)) === 0;
}

/** Whether `punchHole` would do something, for a file that nobody makes longer meanwhile. `device` is the device number of a block device. */
export function canPunch(fd: number, kind: DiskFile['kind'], size: number, device: bigint): boolean {
  // Behind the end of a file there is nothing to be lost; filesystems that have no holes say so nevertheless.
  if (kind === 'file') return punchHole(fd, Math.ceil(size / PAGE_SIZE) * PAGE_SIZE, PAGE_SIZE);
  return discardLimit(device) > 0;
}

/** Bytes that the device discards at once; 0 when it discards nothing. */
function discardLimit(device: bigint): number {
  // The encoding of glibc's gnu_dev_major and gnu_dev_minor.
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  // A partition has its queue in the directory of its disk.
  for (const queue of ['queue', '../queue']) {
    try {
      return Number(readFileSync(`/sys/dev/block/${major}:${minor}/${queue}/discard_max_bytes`, 'utf8'));
    } catch {
      // It is at the other place, or there is no sysfs.
    }
  }
  return 0;
}

function load(): Fallocate | 'missing' {
  try {
    const { dlopen } = quietFfi();
    return dlopen('libc.so.6', { fallocate: { arguments: ['i32', 'u64', 'i64', 'i64'], return: 'i32' } }).functions
      .fallocate;
  } catch {
    return 'missing';
  }
}
