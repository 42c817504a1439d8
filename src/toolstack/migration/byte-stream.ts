/** Where a saved domain comes from and goes to: files, pipes, sockets. */

export interface ByteSource {
  /** Exactly so many bytes. Throws StreamError where the stream ends before that. */
  read(length: number): Promise<Uint8Array>;
  /** As `read`, to where they belong: memory of a guest may be shared. */
  readInto(target: Uint8Array): Promise<void>;
  /** As `readInto` of whole pages that begin in a domain's memory, without reading them now. False, and nothing has happened, when that cannot be. */
  place?(target: Uint8Array): boolean;
}

export interface ByteSink {
  /** Resolves when the bytes may change: they may be a guest's memory. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Where the next byte goes to in a file that can be read from anywhere. */
  readonly position?: number;
}

/** The stream is not what it has to be. The message is a sentence about it without a full stop. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
}

export function endedEarly(): StreamError {
  return new StreamError('the saved domain is cut off: the stream ends too early');
}

/** For tests, and for what is small. */
export class MemorySource implements ByteSource {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** What has not been read. */
  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  read(length: number): Promise<Uint8Array> {
    if (length > this.rest) return Promise.reject(endedEarly());
    this.#at += length;
    return Promise.resolve(this.#bytes.slice(this.#at - length, this.#at));
  }

  async readInto(target: Uint8Array): Promise<void> {
    target.set(await this.read(target.length));
  }
}

export class MemorySink implements ByteSink {
  readonly #chunks: Uint8Array[] = [];

  write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) this.#chunks.push(chunk.slice());
    return Promise.resolve();
  }

  get bytes(): Uint8Array {
    const all = new Uint8Array(this.#chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}
