/** What two xl say to each other beside the domain itself, word for word (xen/tools/xl/xl.h), and how they read it. */
import type { Readable } from 'node:stream';
import { endedEarly, StreamError, type ByteSource } from '../migration/byte-stream.ts';

/** All but the first end with a zero byte. */
export const messages = {
  banner: 'xl migration receiver ready, send binary domain data.\n',
  ready: 'domain received, ready to unpause\0',
  permission: 'domain is yours, you are cleared to unpause\0',
  report: 'my copy unpause results are as follows\0',
} as const;

/** One end of a pipe, of which parts belong to somebody else. */
export class PipeSource implements ByteSource {
  readonly #pipe: Readable;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #take: ((chunk: Uint8Array) => void) | undefined;
  #wake: () => void = () => undefined;
  /** Nothing more will come. */
  onEnd: () => void = () => undefined;

  constructor(pipe: Readable) {
    this.#pipe = pipe;
    pipe.on('data', (chunk: Uint8Array) => {
      if (this.#take !== undefined) this.#take(chunk);
      else {
        this.#chunks.push(chunk);
        pipe.pause();
      }
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
      this.onEnd();
    };
    pipe.on('end', end).on('error', end).on('close', end);
    pipe.pause();
  }

  /** Everything from now on, what is here already included, until `forward(undefined)`. */
  forward(take: ((chunk: Uint8Array) => void) | undefined): void {
    this.#take = take;
    if (take === undefined) {
      this.#pipe.pause();
      return;
    }
    for (const chunk of this.#chunks.splice(0)) take(chunk);
    if (this.#ended) this.onEnd();
    else this.#pipe.resume();
  }

  pause(): void {
    this.#pipe.pause();
  }

  resume(): void {
    this.#pipe.resume();
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.length;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.#ended) throw endedEarly();
        this.#pipe.resume();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const taken = chunk.subarray(0, target.length - done);
      target.set(taken, done);
      done += taken.length;
      if (taken.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(taken.length);
    }
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
