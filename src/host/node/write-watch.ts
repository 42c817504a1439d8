/**
 * Which pages of a guest are written, told by the host's kernel: userfaultfd's write protection without a handler (UFFD_FEATURE_WP_ASYNC), and the ioctl
 * PAGEMAP_SCAN, which tells pages that have been written and protects them anew in one step (Linux 6.7 and later: Documentation/admin-guide/mm/userfaultfd.rst and
 * pagemap.rst). Every writer counts, be it a thread of the process or the kernel for one of its calls; the first write to a page costs a fault of about a
 * microsecond. No right is needed for it. By node:ffi as in ./holes.ts; decision 14.
 */
import { closeSync, openSync } from 'node:fs';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { GuestFrames } from '../../hypervisor/control.ts';
import type { WriteWatch } from '../../toolstack/migration/write-watch.ts';
import { memoryMap } from './memory-map.ts';
import { quietFfi } from './quiet-ffi.ts';

/** userfaultfd(2) has no function in the C library. */
const callNumbers: Partial<Record<NodeJS.Architecture, bigint>> = { x64: 323n, arm64: 282n };

/** include/uapi/linux/userfaultfd.h */
const UFFD_USER_MODE_ONLY = 1;
const O_CLOEXEC = 0o2000000;
const UFFD_API = 0xaan;
const UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 1n << 12n;
const UFFD_FEATURE_WP_UNPOPULATED = 1n << 13n;
const UFFD_FEATURE_WP_ASYNC = 1n << 15n;
const UFFDIO_API = 0xc018aa3fn;
const UFFDIO_REGISTER = 0xc020aa00n;
const UFFDIO_REGISTER_MODE_WP = 2n;

/** include/uapi/linux/fs.h: struct pm_scan_arg in words of 64 bits, struct page_region. */
const PAGEMAP_SCAN = 0xc0606610n;
const PM_SCAN_WP_MATCHING = 1n << 0n;
const PM_SCAN_CHECK_WPASYNC = 1n << 1n;
const PAGE_IS_WRITTEN = 1n << 1n;
const scan = { size: 0, flags: 1, start: 2, end: 3, walkEnd: 4, vec: 5, vecLen: 6, mask: 9, returnMask: 11 } as const;
const SCAN_WORDS = 12;
const REGION_WORDS = 3;
/** Regions that one call may tell; when there are more, another call goes on. */
const MOST_REGIONS = 4096;

type Library = ReturnType<typeof load>;
let loaded: Library | undefined;

function load() {
  const { dlopen, getRawPointer } = quietFfi();
  const { functions } = dlopen('libc.so.6', {
    syscall: { arguments: ['i64', 'i64'], return: 'i64' },
    ioctl: { arguments: ['i32', 'u64', 'buffer'], return: 'i32' },
  });
  return { ...functions, getRawPointer };
}

/** Undefined where the platform cannot tell. */
export function watchWrites(frames: GuestFrames): WriteWatch | undefined {
  const number = process.platform === 'linux' ? callNumbers[process.arch] : undefined;
  const map = memoryMap();
  const { buffer } = frames.dataView;
  if (number === undefined || map === undefined || !(buffer instanceof SharedArrayBuffer)) return undefined;
  loaded ??= load();
  const fd = Number(loaded.syscall(number, BigInt(UFFD_USER_MODE_ONLY | O_CLOEXEC)));
  if (fd < 0) return undefined;
  const watch = new PagemapWatch(loaded, fd, map.addressOf(buffer) + frames.base, frames.count);
  // The first reading protects all; a kernel that does not know it refuses here.
  if (watch.protect() && watch.written(() => undefined)) return watch;
  watch.end();
  return undefined;
}

class PagemapWatch implements WriteWatch {
  readonly #library: Library;
  readonly #fd: number;
  readonly #pagemap: number;
  readonly #start: bigint;
  readonly #end: bigint;
  /** Shared, for it does not move. */
  readonly #regions = new BigUint64Array(new SharedArrayBuffer(MOST_REGIONS * REGION_WORDS * 8));
  readonly #regionsAt: bigint;

  constructor(library: Library, fd: number, address: number, frames: number) {
    this.#library = library;
    this.#fd = fd;
    this.#pagemap = openSync('/proc/self/pagemap', 'r');
    this.#start = BigInt(address);
    this.#end = BigInt(address + frames * PAGE_SIZE);
    this.#regionsAt = library.getRawPointer(this.#regions);
  }

  protect(): boolean {
    const features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
    const register = [this.#start, this.#end - this.#start, UFFDIO_REGISTER_MODE_WP, 0n];
    return this.#uffd(UFFDIO_API, [UFFD_API, features, 0n]) && this.#uffd(UFFDIO_REGISTER, register);
  }

  written(mark: (first: number, count: number) => void): boolean {
    const words = new BigUint64Array(SCAN_WORDS);
    words[scan.size] = BigInt(words.byteLength);
    words[scan.flags] = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
    words[scan.end] = this.#end;
    words[scan.vec] = this.#regionsAt;
    words[scan.vecLen] = BigInt(MOST_REGIONS);
    words[scan.mask] = PAGE_IS_WRITTEN;
    words[scan.returnMask] = PAGE_IS_WRITTEN;
    for (let at = this.#start; at < this.#end; at = words[scan.walkEnd] ?? this.#end) {
      words[scan.start] = at;
      const count = this.#library.ioctl(this.#pagemap, PAGEMAP_SCAN, words);
      if (count < 0) return false;
      for (let region = 0; region < count * REGION_WORDS; region += REGION_WORDS) {
        const first = this.#frame(this.#regions[region]);
        mark(first, this.#frame(this.#regions[region + 1]) - first);
      }
    }
    return true;
  }

  end(): void {
    closeSync(this.#pagemap);
    // Which ends the protection too.
    closeSync(this.#fd);
  }

  #frame(address = 0n): number {
    return Number(address - this.#start) / PAGE_SIZE;
  }

  #uffd(request: bigint, words: readonly bigint[]): boolean {
    return this.#library.ioctl(this.#fd, request, new BigUint64Array(words)) === 0;
  }
}
