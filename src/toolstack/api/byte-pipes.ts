/** Streams of a program, and pipes within it, as a saved guest is written to and read from. */
import type { ByteSink, ByteSource } from '../migration/byte-stream.ts';
import { ChunkQueue } from '../migration/chunk-queue.ts';

/** Bytes under way before the writer waits for the reader. */
const UNDER_WAY = 4 * 1024 * 1024;

/** What comes piece by piece from elsewhere: a ReadableStream, a file's stream, a generator. */
export class IterableSource implements ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #queue = new ChunkQueue();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    while (this.#queue.length < target.length && !this.#queue.ended) await this.#more();
    await this.#queue.readInto(target, () => undefined);
  }

  /** Nothing more is wanted of it. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done === true) this.#queue.end();
    else this.#queue.push(value);
  }
}

/** Into a WritableStream, at its pace. */
export class StreamSink implements ByteSink {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(stream: WritableStream<Uint8Array>) {
    this.#writer = stream.getWriter();
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      await this.#writer.ready;
      // A copy: what is written may be a guest's memory, and shared.
      await this.#writer.write(chunk.slice());
    }
  }

  async end(): Promise<void> {
    await this.#writer.close();
  }

  async abandon(why: unknown): Promise<void> {
    await this.#writer.abort(why).catch(() => undefined);
  }
}

/** From one host of this process to another. */
export class Pipe implements ByteSink, ByteSource {
  readonly #queue = new ChunkQueue();
  #roomForMore: () => void = () => undefined;
  #failure: Error | undefined;

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#check();
    for (const chunk of chunks) this.#queue.push(chunk.slice());
    while (this.#queue.length > UNDER_WAY && this.#failure === undefined)
      await new Promise<void>((resolve) => (this.#roomForMore = resolve));
    this.#check();
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    await this.#queue.readInto(target, () => this.#roomForMore());
    if (this.#queue.length <= UNDER_WAY) this.#roomForMore();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The writer writes no more: the reader finds the end. */
  end(): void {
    this.#queue.end();
  }

  /** The reader reads no more: the writer is told why. */
  refuse(why: Error): void {
    this.#failure = why;
    this.#roomForMore();
  }
}
