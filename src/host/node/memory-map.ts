/**
 * Guest memory by mmap(2), memfd_create(2) and madvise(2), which Node does not have, by node:ffi as in ./page-cache.ts (docs/adr/0012): pages of a file under a part of a
 * shared memory, each of them copied when it is first written to. Linux with glibc only; elsewhere there is no `memoryMap()`, and whoever wants one copies bytes.
 *
 * The memory is a shared `WebAssembly.Memory`, whose buffer never moves and which its engine gives back to the host as a whole, whatever is mapped there.
 */
import { closeSync } from 'node:fs';
import { quietFfi } from './quiet-ffi.ts';

/** Bytes that offsets and lengths are multiples of. Hosts with larger pages have no `memoryMap()`. */
export const HOST_PAGE = 4096;

/** include/uapi/asm-generic/mman-common.h, mman.h and linux/memfd.h, linux/mman.h */
const PROT_READ_WRITE = 0x1 | 0x2;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_FAILED = 2n ** 64n - 1n;
const MREMAP_MAYMOVE = 1;
const MREMAP_FIXED = 2;
/** Copied at a time. */
const DETACH_CHUNK = 32n << 20n;
/** Pages are not counted against what the host has (with overcommit as it is by default). */
const MAP_NORESERVE = 0x4000;
const MFD_CLOEXEC = 0x1;
const MADV_POPULATE_WRITE = 23;
const _SC_PAGESIZE = 30;

/** The host refused: too many mappings (vm.max_map_count), no memory, or a file that was cut. */
export class MemoryMapError extends Error {
  override readonly name = 'MemoryMapError';
}

/** A part of a file, page-aligned. */
export interface FileRange {
  /** May be closed once it is mapped. */
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  /** Whoever maps it knows where; it is not among `mappedParts`. */
  readonly isAccounted?: true;
}

export interface MappedPart {
  readonly at: number;
  readonly length: number;
}

export interface MemoryMap {
  /**
   * The file's pages become the memory's contents from byte `at` on, without being read; what was there is gone. Writes stay in the memory. The file must
   * not become shorter: touching a page that it has no more ends the process (SIGBUS), and so does a disk that fails. Throws MemoryMapError or RangeError.
   */
  mapFile(memory: SharedArrayBuffer, at: number, range: FileRange): void;
  /**
   * Brings pages into memory of their own, as if each had been written to with what it has; a thread that is inside the memory meanwhile sees nothing of it.
   * Blocks for as long as reading takes: a few hundred KiB at a time. False when not all could be, for want of memory or of the file's bytes.
   */
  populate(memory: SharedArrayBuffer, at: number, length: number): boolean;
  /**
   * The part becomes memory of no file, with the contents that it has; nobody may write to it meanwhile. Throws MemoryMapError, with some of it done.
   */
  detach(memory: SharedArrayBuffer, at: number, length: number): void;
  /** The part becomes zeroes of no file, for a memory that nobody uses any more. Throws MemoryMapError. */
  discard(memory: SharedArrayBuffer, at: number, length: number): void;
  /** An empty file without a name, which is gone when nobody has it open or mapped. Throws MemoryMapError. */
  createMemfd(name: string): number;
  /** What was mapped under the memory, and may have come off it since. */
  mappedParts(memory: SharedArrayBuffer): readonly MappedPart[];
  /** Where the memory lies in this process, as /proc/self/pagemap and smaps count. */
  addressOf(memory: SharedArrayBuffer): number;
}

let known: MemoryMap | 'missing' | undefined;

/** Undefined where the host has no such calls. */
export function memoryMap(): MemoryMap | undefined {
  known ??= load();
  return known === 'missing' ? undefined : known;
}

type Library = ReturnType<typeof libc>;

class LinuxMemoryMap implements MemoryMap {
  readonly #libc: Library;
  readonly #addresses = new WeakMap<SharedArrayBuffer, number>();
  readonly #parts = new WeakMap<SharedArrayBuffer, MappedPart[]>();

  constructor(library: Library) {
    this.#libc = library;
  }

  mapFile(memory: SharedArrayBuffer, at: number, { fd, offset, length, isAccounted }: FileRange): void {
    const address = this.#checked(memory, at, length);
    if (!(offset >= 0) || offset % HOST_PAGE !== 0) throw new RangeError(`a mapping of offset ${offset}`);
    const flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    const mapped = this.#libc.mmap(address, BigInt(length), PROT_READ_WRITE, flags, fd, BigInt(offset));
    if (mapped !== address) throw new MemoryMapError(`the host maps no ${length} bytes of a file`);
    if (isAccounted === true) return;
    const parts = this.#parts.get(memory) ?? [];
    parts.push({ at, length });
    this.#parts.set(memory, parts);
  }

  mappedParts(memory: SharedArrayBuffer): readonly MappedPart[] {
    return this.#parts.get(memory) ?? [];
  }

  populate(memory: SharedArrayBuffer, at: number, length: number): boolean {
    return this.#libc.madvise(this.#checked(memory, at, length), BigInt(length), MADV_POPULATE_WRITE) === 0;
  }

  detach(memory: SharedArrayBuffer, at: number, length: number): void {
    const address = this.#checked(memory, at, length);
    for (let done = 0n; done < BigInt(length); done += DETACH_CHUNK) {
      const chunk = BigInt(length) - done < DETACH_CHUNK ? BigInt(length) - done : DETACH_CHUNK;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
      const fresh = this.#libc.mmap(0n, chunk, PROT_READ_WRITE, flags, -1, 0n);
      if (fresh === MAP_FAILED) throw new MemoryMapError(`the host has no ${chunk} bytes of memory`);
      this.#libc.memcpy(fresh, address + done, chunk);
      const moved = this.#libc.mremap(fresh, chunk, chunk, MREMAP_MAYMOVE | MREMAP_FIXED, address + done);
      if (moved !== address + done) throw new MemoryMapError(`the host moves no ${chunk} bytes of memory`);
    }
  }

  discard(memory: SharedArrayBuffer, at: number, length: number): void {
    const address = this.#checked(memory, at, length);
    const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
    if (this.#libc.mmap(address, BigInt(length), PROT_READ_WRITE, flags, -1, 0n) !== address)
      throw new MemoryMapError(`the host takes back no ${length} bytes of memory`);
  }

  createMemfd(name: string): number {
    const fd = this.#libc.memfd_create(Buffer.from(`${name}\0`), MFD_CLOEXEC);
    if (fd < 0) throw new MemoryMapError('the host creates no more files in memory');
    return fd;
  }

  addressOf(memory: SharedArrayBuffer): number {
    let address = this.#addresses.get(memory);
    if (address === undefined) {
      address = Number(quietFfi().getRawPointer(new Uint8Array(memory)));
      this.#addresses.set(memory, address);
    }
    return address;
  }

  /** What lies beyond the memory is other memory of this process. */
  #checked(memory: SharedArrayBuffer, at: number, length: number): bigint {
    const aligned = at % HOST_PAGE === 0 && length % HOST_PAGE === 0;
    // A memory that can grow may have its end anywhere.
    if (!aligned || !(at >= 0) || !(length > 0) || at + length > memory.byteLength)
      throw new RangeError(`a mapping of ${length} bytes at ${at} in a memory of ${memory.byteLength}`);
    return BigInt(this.addressOf(memory) + at);
  }
}

function libc() {
  const { dlopen } = quietFfi();
  return dlopen('libc.so.6', {
    // Addresses go in and out as numbers: the pointers of WebAssembly memories, which no collector moves.
    mmap: { arguments: ['u64', 'u64', 'i32', 'i32', 'i32', 'i64'], return: 'u64' },
    mremap: { arguments: ['u64', 'u64', 'u64', 'i32', 'u64'], return: 'u64' },
    memcpy: { arguments: ['u64', 'u64', 'u64'], return: 'u64' },
    madvise: { arguments: ['u64', 'u64', 'i32'], return: 'i32' },
    memfd_create: { arguments: ['buffer', 'u32'], return: 'i32' },
    sysconf: { arguments: ['i32'], return: 'i64' },
  }).functions;
}

function load(): MemoryMap | 'missing' {
  if (process.platform !== 'linux') return 'missing';
  try {
    const library = libc();
    if (library.sysconf(_SC_PAGESIZE) !== BigInt(HOST_PAGE)) return 'missing';
    const map = new LinuxMemoryMap(library);
    closeSync(map.createMemfd('xenolith-probe'));
    return map;
  } catch {
    return 'missing';
  }
}
