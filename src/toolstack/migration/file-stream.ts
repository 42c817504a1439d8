/** A file as a stream: from an offset on, to its end. */
import type { FileHandle } from 'node:fs/promises';
import { endedEarly, type ByteSink, type ByteSource } from './byte-stream.ts';
import type { MappedImage } from './mapped-image.ts';

const READ_AHEAD = 64 * 1024;
/** What one call of writev(2) takes (IOV_MAX). */
const MAX_CHUNKS = 1024;

export class FileSource implements ByteSource {
  readonly #file: FileHandle;
  /** Of what has not been read from the file yet. */
  #position: number;
  #ahead = new Uint8Array();

  readonly #image: MappedImage | undefined;

  constructor(file: FileHandle, offset: number, image?: MappedImage) {
    this.#file = file;
    this.#position = offset;
    this.#image = image;
  }

  place(target: Uint8Array): boolean {
    const from = this.#position - this.#ahead.length;
    if (this.#image?.map(target, from) !== true) return false;
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

  async #readAhead(): Promise<void> {
    const buffer = new Uint8Array(READ_AHEAD);
    const { bytesRead } = await this.#file.read(buffer, 0, READ_AHEAD, this.#position);
    this.#position += bytesRead;
    this.#ahead = buffer.subarray(0, bytesRead);
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
