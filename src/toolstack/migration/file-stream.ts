/** A file as a stream: from an offset on, to its end. */
import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { endedEarly, type ByteSink, type ByteSource } from './byte-stream.ts';
import type { ReadCached } from './host-memory.ts';
import type { MappedImage } from './mapped-image.ts';

const READ_AHEAD = 64 * 1024;
/** From the page cache: what stands between pages that are mapped. */
const CACHED_AHEAD = 16 * 1024;
/** What one call of writev(2) takes (IOV_MAX). */
const MAX_CHUNKS = 1024;
/** Reads that wait for nothing, after which others have a turn. */
const READS_PER_TURN = 64;

/** How bytes of a file come without waiting for it; what the platform has no way for is missing. */
export interface QuickReads {
  readonly image?: MappedImage | undefined;
  readonly readCached?: ReadCached | undefined;
}

export class FileSource implements ByteSource {
  readonly #file: FileHandle;
  /** Of what has not been read from the file yet. */
  #position: number;
  /** Shared, as `readCached` wants it. */
  readonly #buffer = new Uint8Array(new SharedArrayBuffer(READ_AHEAD));
  #ahead = this.#buffer.subarray(0, 0);
  readonly #quick: QuickReads;
  #sinceTurn = 0;

  constructor(file: FileHandle, offset: number, quick: QuickReads = {}) {
    this.#file = file;
    this.#position = offset;
    this.#quick = quick;
  }

  place(target: Uint8Array): boolean {
    const from = this.#position - this.#ahead.length;
    if (this.#quick.image?.map(target, from) !== true) return false;
    const end = from + target.length;
    this.#ahead = this.#ahead.subarray(target.length);
    if (end > this.#position) this.#position = end;
    return true;
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    let done = this.#take(target);
    if (done < target.length) done += await this.#readNow(target.subarray(done));
    if (target.length - done < READ_AHEAD && done < target.length) {
      await this.#readAhead();
      done += this.#take(target.subarray(done));
    }
    while (done < target.length) {
      const { bytesRead } = await this.#file.read(target, done, target.length - done, this.#position);
      if (bytesRead === 0) throw endedEarly();
      done += bytesRead;
      this.#position += bytesRead;
    }
  }

  #take(target: Uint8Array): number {
    const taken = this.#ahead.subarray(0, target.length);
    target.set(taken);
    this.#ahead = this.#ahead.subarray(taken.length);
    return taken.length;
  }

  /** All or nothing, to its place or to the buffer first: how many bytes. */
  async #readNow(target: Uint8Array): Promise<number> {
    if (this.#sinceTurn++ >= READS_PER_TURN) {
      this.#sinceTurn = 0;
      await setImmediate();
    }
    if (this.#isCached(target)) {
      this.#position += target.length;
      return target.length;
    }
    const ahead = this.#buffer.subarray(0, CACHED_AHEAD);
    if (target.length >= CACHED_AHEAD || !this.#isCached(ahead)) return 0;
    this.#position += CACHED_AHEAD;
    this.#ahead = ahead;
    return this.#take(target);
  }

  #isCached(into: Uint8Array): boolean {
    return this.#quick.readCached?.(this.#file.fd, this.#position, [into]) === true;
  }

  async #readAhead(): Promise<void> {
    const { bytesRead } = await this.#file.read(this.#buffer, 0, READ_AHEAD, this.#position);
    this.#position += bytesRead;
    this.#ahead = this.#buffer.subarray(0, bytesRead);
  }
}

export class FileSink implements ByteSink {
  readonly #file: FileHandle;
  #position: number;

  constructor(file: FileHandle, offset: number) {
    this.#file = file;
    this.#position = offset;
  }

  get position(): number {
    return this.#position;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    let left = chunks.filter(({ length }) => length > 0);
    while (left.length > 0) {
      let { bytesWritten } = await this.#file.writev(left.slice(0, MAX_CHUNKS), this.#position);
      this.#position += bytesWritten;
      let whole = 0;
      for (; whole < left.length && bytesWritten >= (left[whole]?.length ?? 0); whole++)
        bytesWritten -= left[whole]?.length ?? 0;
      const [next, ...others] = left.slice(whole);
      left = next === undefined ? [] : [next.subarray(bytesWritten), ...others];
    }
  }
}
