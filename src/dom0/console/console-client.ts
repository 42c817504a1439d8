/**
 * Somebody who watches a console, and may type. Output is not queued for each client: a client is a position in the scroll-back,
 * so one that is slow costs nothing, and one that is slower than the scroll-back is long skips what has been dropped.
 */
import type { DomainConsole } from './domain-console.ts';

const CHUNK = 64 * 1024;

export class ConsoleClient {
  readonly console: DomainConsole;
  /** There is something to read, or the console has ended. */
  onReadable: (() => void) | undefined;
  /** Bytes that were dropped before they were read. */
  skipped = 0;
  #position: number;
  readonly #detach: () => void;
  #detached = false;

  constructor(console: DomainConsole, position: number, detach: () => void) {
    this.console = console;
    this.#position = position;
    this.#detach = detach;
  }

  /** The next bytes; undefined when there are none for now. */
  read(): Uint8Array | undefined {
    if (this.#detached) return undefined;
    const { scrollBack } = this.console.log;
    if (this.#position < scrollBack.start) {
      this.skipped += scrollBack.start - this.#position;
      this.#position = scrollBack.start;
    }
    // What a later domain of the same name prints is not this console's.
    const end = this.console.lastPosition ?? scrollBack.end;
    const bytes = scrollBack.read(this.#position, Math.min(CHUNK, Math.max(end - this.#position, 0)));
    this.#position += bytes.length;
    return bytes.length > 0 ? bytes : undefined;
  }

  /** No more output will come after what `read` still gives. */
  get ended(): boolean {
    return this.#detached || this.console.ended;
  }

  /** Types. False when the console has ended before the guest could take everything; waits while the guest does not read. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length;) {
      at += this.console.offer(bytes.subarray(at));
      if (at === bytes.length) break;
      if (this.ended) return false;
      await this.console.inputRoom();
    }
    return !this.ended;
  }

  detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.#detach();
    this.wake();
  }

  wake(): void {
    this.onReadable?.();
  }

  /** All output until the console ends or `detach` is called. Not together with `onReadable`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const bytes = this.read();
        if (bytes) yield bytes;
        else if (this.ended) return;
        else await new Promise<void>((resolve) => (this.onReadable = resolve));
      }
    } finally {
      this.detach();
    }
  }
}
