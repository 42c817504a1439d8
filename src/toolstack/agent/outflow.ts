/** What goes to a program's stdin or into a file, piece by piece, as the guest says that it has room. */
import type { AgentLink } from './link.ts';
import { Ask, maxData, message } from './protocol.ts';

/** What can be sent: all of it, or piece by piece. Text goes as UTF-8. */
export type ByteSource = string | Uint8Array | Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>;

export class Outflow {
  readonly #link: AgentLink;
  readonly #id: number;
  #room: number;
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(link: AgentLink, id: number) {
    this.#link = link;
    this.#id = id;
    this.#room = link.window;
  }

  /** The guest has room for so much more, and never for more than it said at first. */
  grant(bytes: number): void {
    this.#room = Math.min(this.#room + bytes, this.#link.window);
    this.#wake();
  }

  /** Nobody wants it any more. */
  stop(): void {
    this.#closed = true;
    this.#wake();
  }

  get stopped(): boolean {
    return this.#closed;
  }

  /** Resolves when it has been sent; false: nobody wants it. One at a time. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length && !this.#closed;) {
      if (this.#room === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      await this.#link.ready();
      const piece = bytes.subarray(at, at + Math.min(maxData, this.#room));
      this.#room -= piece.length;
      at += piece.length;
      if (!this.#isClosed()) this.#link.send(message(Ask.data, this.#id, piece));
    }
    return !this.#closed;
  }

  end(): void {
    if (!this.#closed) this.#link.send(message(Ask.end, this.#id));
    this.#closed = true;
  }

  /** All of a source and its end. Returns early when nobody wants it; throws what the source throws, without an end. */
  async writeAll(source: ByteSource): Promise<void> {
    for await (const piece of pieces(source)) {
      if (!(await this.write(typeof piece === 'string' ? Buffer.from(piece) : piece))) return;
    }
    this.end();
  }

  #isClosed(): boolean {
    return this.#closed;
  }
}

function pieces(source: ByteSource): Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string> {
  return typeof source === 'string' || source instanceof Uint8Array ? [source] : source;
}
