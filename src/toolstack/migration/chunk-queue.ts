/** Bytes that came in chunks, read in other pieces. */
import { endedEarly } from './byte-stream.ts';

export class ChunkQueue {
  #chunks: Uint8Array[] = [];
  #length = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  /** Bytes that have not been read. */
  get length(): number {
    return this.#length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    this.#wake();
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** All that is here. */
  takeAll(): readonly Uint8Array[] {
    this.#length = 0;
    return this.#chunks.splice(0);
  }

  /** `starved` is called when there is nothing to read, before it is waited for. Throws StreamError where the end comes first. */
  async readInto(target: Uint8Array, starved: () => void): Promise<void> {
    for (let done = 0; done < target.length;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.#ended) throw endedEarly();
        starved();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const taken = chunk.subarray(0, target.length - done);
      target.set(taken, done);
      done += taken.length;
      this.#length -= taken.length;
      if (taken.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(taken.length);
    }
  }
}
