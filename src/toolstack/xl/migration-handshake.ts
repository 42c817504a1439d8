/** What two xl say to each other beside the domain itself, word for word (xen/tools/xl/xl.h), and how they read it. */
import type { Readable } from 'node:stream';
import { StreamError, type ByteSource } from '../migration/byte-stream.ts';
import { ChunkQueue } from '../migration/chunk-queue.ts';
import { Patience } from './patience.ts';

/** All but the first end with a zero byte. */
export const messages = {
  banner: 'xl migration receiver ready, send binary domain data.\n',
  ready: 'domain received, ready to unpause\0',
  permission: 'domain is yours, you are cleared to unpause\0',
  report: 'my copy unpause results are as follows\0',
} as const;

/** One end of a pipe, of which parts belong to somebody else. Who says nothing for too long counts as gone. */
export class PipeSource implements ByteSource {
  readonly #pipe: Readable;
  readonly #queue = new ChunkQueue();
  #take: ((chunk: Uint8Array) => void) | undefined;
  #patience: Patience | undefined;
  /** Nothing more will come. */
  onEnd: () => void = () => undefined;
  /** Whether the end came because patience had ended. */
  stalled = false;

  constructor(pipe: Readable) {
    this.#pipe = pipe;
    pipe.on('data', (chunk: Uint8Array) => {
      this.#patience?.end();
      if (this.#take !== undefined) {
        this.#patience?.begin();
        this.#take(chunk);
      } else {
        this.#queue.push(chunk);
        pipe.pause();
      }
    });
    const end = (): void => {
      this.#patience?.end();
      this.#queue.end();
      this.onEnd();
    };
    pipe.on('end', end).on('error', end).on('close', end);
    pipe.pause();
  }

  /** From the next time on that something is waited for, it is no longer than this. */
  limit(milliseconds: number): void {
    this.#patience = new Patience(milliseconds, () => {
      this.stalled = true;
      this.#pipe.destroy();
    });
  }

  /** Everything from now on, what is here already included, until `forward(undefined)`. */
  forward(take: ((chunk: Uint8Array) => void) | undefined): void {
    this.#take = take;
    this.#patience?.end();
    if (take === undefined) {
      this.#pipe.pause();
      return;
    }
    this.#patience?.begin();
    for (const chunk of this.#queue.takeAll()) take(chunk);
    if (this.#queue.ended) this.onEnd();
    else this.#pipe.resume();
  }

  /** For who takes what is forwarded: it is not waited for then. */
  pause(): void {
    this.#patience?.end();
    this.#pipe.pause();
  }

  resume(): void {
    this.#patience?.begin();
    this.#pipe.resume();
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    await this.#queue.readInto(target, () => {
      this.#patience?.begin();
      this.#pipe.resume();
    });
    this.#patience?.end();
    this.#pipe.pause();
  }

  /** Throws StreamError when something else, or nothing, comes. */
  async expect(message: keyof typeof messages, what: string): Promise<void> {
    // Byte by byte: what is shorter and something else is not waited for.
    for (const wanted of Buffer.from(messages[message], 'latin1')) {
      const [got] = await this.read(1);
      if (got !== wanted) throw new StreamError(`migration stream contained unexpected data instead of ${what}`);
    }
  }
}
