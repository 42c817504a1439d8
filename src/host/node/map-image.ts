/**
 * Pages of saved domains under the memory of restored ones (./memory-map.ts). Who cuts a mapped file takes away its pages, those that were copied too, and their next use ends this
 * process; who changes it changes pages that have been checked. So the file is held by a lease (fcntl(2), F_SETLEASE), which the kernel grants for a file of our own that nobody has open for
 * writing: whoever wants to write to it or cut it waits, for 45 seconds as a rule (/proc/sys/fs/lease-break-time). We hear of it by a signal, take the domain's memory off the file while the
 * domain stands still, and give the lease back. Files that get no lease are read.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { ImageOwner, MappedImage } from '../../toolstack/migration/mapped-image.ts';
import { startFile } from '../../toolstack/start-files.ts';
import { HOST_PAGE, memoryMap, MemoryMapError, type MemoryMap } from './memory-map.ts';
import { quietFfi } from './quiet-ffi.ts';

/** include/uapi/linux/fcntl.h and asm-generic/fcntl.h */
const F_SETLEASE = 1024;
const F_SETSIG = 10;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** The signal of who waits for the lease; ignored, unlike SIGIO, which would end the process. */
const SIGURG = 23;
/** Shorter runs of pages are read: a process can have 65530 mappings (vm.max_map_count). */
const LEAST_PAGES = 32;

export interface MappedRange {
  readonly at: number;
  readonly length: number;
}

export interface Populating {
  readonly memory: SharedArrayBuffer;
  readonly ranges: readonly MappedRange[];
}

type Fcntl = (fd: number, command: number, argument: number) => number;
let fcntl: Fcntl | undefined;

export function mapImage(fd: number): MappedImage | undefined {
  const map = memoryMap();
  if (map === undefined) return undefined;
  fcntl ??= quietFfi().dlopen('libc.so.6', { fcntl: { arguments: ['i32', 'i32', 'i32'], return: 'i32' } }).functions
    .fcntl;
  // A lease belongs to an open file: this one stays open for as long as the pages are needed.
  const held = openSync(`/proc/self/fd/${fd}`, 'r');
  if (fstatSync(held).isFile() && fcntl(held, F_SETSIG, SIGURG) === 0 && fcntl(held, F_SETLEASE, F_RDLCK) === 0)
    return new LeasedImage(map, held);
  closeSync(held);
  return undefined;
}

/** Those whose domains live. */
const held = new Set<LeasedImage>();

function hearOfWriters(): void {
  if (process.listenerCount('SIGURG') === 0)
    process.on('SIGURG', () => {
      // Which one is meant is not told.
      for (const image of held) image.comeOff();
    });
}

class LeasedImage implements MappedImage {
  readonly #map: MemoryMap;
  readonly #fd: number;
  readonly #size: number;
  readonly #ranges: MappedRange[] = [];
  #memory: SharedArrayBuffer | undefined;
  #owner: ImageOwner | undefined;
  #populating: Worker | undefined;
  #isOver = false;

  constructor(map: MemoryMap, fd: number) {
    this.#map = map;
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  map({ buffer, byteOffset: at, length }: Uint8Array, offset: number): boolean {
    const aligned = [at, length, offset].every((value) => value % HOST_PAGE === 0);
    if (!(buffer instanceof SharedArrayBuffer) || !aligned) return false;
    if (length < LEAST_PAGES * HOST_PAGE || offset + length > this.#size) return false;
    try {
      this.#map.mapFile(buffer, at, { fd: this.#fd, offset, length });
    } catch (error) {
      if (error instanceof MemoryMapError) return false;
      throw error;
    }
    this.#memory = buffer;
    this.#ranges.push({ at, length });
    return true;
  }

  settle(owner: ImageOwner): void {
    const memory = this.#memory;
    if (memory === undefined) return this.#release();
    this.#owner = owner;
    held.add(this);
    hearOfWriters();
    const workerData: Populating = { memory, ranges: this.#ranges };
    const thread = new Worker(startFile(new URL('./populate-worker.ts', import.meta.url)), {
      name: 'populate',
      // What it closes, libc has opened: of that Node would warn.
      trackUnmanagedFds: false,
      workerData,
    });
    thread.unref();
    // What it has not read is read when it is used.
    thread.once('error', () => undefined);
    this.#populating = thread;
  }

  giveUp(): void {
    if (this.#isOver) return;
    void this.#populating?.terminate();
    const memory = this.#memory;
    if (memory !== undefined) for (const { at, length } of this.#ranges) this.#map.discard(memory, at, length);
    this.#release();
  }

  /** Mappings keep the file open, and its lease with it, until a collector finds the memory: it is given back by itself. */
  #release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    held.delete(this);
    fcntl?.(this.#fd, F_SETLEASE, F_UNLCK);
    closeSync(this.#fd);
  }

  /** Somebody wants to write to some file that is held. */
  comeOff(): void {
    const memory = this.#memory;
    const owner = this.#owner;
    if (memory === undefined || owner === undefined || this.#isOver) return;
    this.#owner = undefined;
    owner
      .standStill(() => {
        for (const { at, length } of this.#ranges) this.#map.detach(memory, at, length);
      })
      .catch((error: unknown) => owner.onError(error))
      .finally(() => this.#release());
  }
}
