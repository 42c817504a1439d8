/** What comes of a program or a file, as a stream that its reader draws: who does not read keeps the guest waiting, and nobody else. */

/** Bytes that the guest may send before its reader has taken any. */
export const inflowWindow = 128 * 1024;
/** The guest is told of room in lumps. */
const lump = inflowWindow / 4;

export class Inflow {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #grant: (bytes: number) => void;
  #queue: Uint8Array[] = [];
  /** What may still come. */
  #allowed = inflowWindow;
  /** What has been read, and the guest has not been told of. */
  #taken = 0;
  #ended = false;
  #discarding = false;
  #wanted: ReadableStreamDefaultController<Uint8Array> | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  /** `grant` tells the guest that so much more may come. When its reader cancels it, what comes is thrown away, or `cancelled` is called. */
  constructor(grant: (bytes: number) => void, cancelled: () => void = () => undefined) {
    this.#grant = grant;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: (controller) => {
          const chunk = this.#queue.shift();
          if (chunk !== undefined) this.#give(controller, chunk);
          else this.#wanted = controller;
        },
        cancel: () => {
          this.#discarding = true;
          for (const chunk of this.#queue.splice(0)) this.#count(chunk.length);
          cancelled();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** False: it is more than may come. */
  push(bytes: Uint8Array): boolean {
    this.#allowed -= bytes.length;
    if (this.#allowed < 0) return false;
    const wanted = this.#wanted;
    if (this.#ended) return true;
    if (this.#discarding) this.#count(bytes.length);
    else if (wanted === undefined) this.#queue.push(bytes);
    else {
      this.#wanted = undefined;
      this.#give(wanted, bytes);
    }
    return true;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closeIfRead();
  }

  fail(why: Error): void {
    if (this.#ended && this.#queue.length === 0) return;
    this.#ended = true;
    this.#queue = [];
    if (!this.#discarding) this.#controller?.error(why);
  }

  #give(controller: ReadableStreamDefaultController<Uint8Array>, chunk: Uint8Array): void {
    controller.enqueue(chunk);
    this.#count(chunk.length);
    this.#closeIfRead();
  }

  #closeIfRead(): void {
    if (this.#ended && this.#queue.length === 0 && !this.#discarding) this.#controller?.close();
  }

  #count(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken < lump || this.#ended) return;
    this.#allowed += this.#taken;
    this.#grant(this.#taken);
    this.#taken = 0;
  }
}
