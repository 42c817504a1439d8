/** A connection over a byte stream, such as the unix socket of xenstored. The host listens; here bytes come in and go out. */
import type { Session } from './session.ts';
import { MessageReader } from './wire.ts';

/** Queued bytes beyond which a client is not read from until it has taken some. */
const HIGH_WATER = 256 * 1024;
const CHUNK = 64 * 1024;
/** Watch events that wait for a client which does not read them; beyond that it is hung up on. */
const TOO_MUCH = 16 * 1024 * 1024;

export interface StreamGlue {
  newSession(onSettle: () => void): Session;
  /** False: no more until `drained` is called. */
  send(bytes: Uint8Array): boolean;
  /** The client broke the protocol. */
  close(): void;
  /** Reading, which `receive` had asked to stop, may go on. */
  resume(): void;
}

export class StreamConnection {
  readonly #glue: StreamGlue;
  readonly #session: Session;
  readonly #reader = new MessageReader();
  #waiting: Uint8Array[] = [];
  #writable = true;
  #busy = false;
  #ended = false;

  constructor(glue: StreamGlue) {
    this.#glue = glue;
    this.#session = glue.newSession(() => this.#flush());
  }

  /** Takes bytes from the client. False: better not read more until `resume`; what comes nevertheless is kept. */
  receive(bytes: Uint8Array): boolean {
    if (this.#ended) return false;
    this.#waiting.push(bytes);
    this.#serve();
    return this.#waiting.length === 0;
  }

  /** What was sent is on its way. */
  drained(): void {
    this.#writable = true;
    const stopped = this.#waiting.length > 0;
    this.#flush();
    this.#serve();
    if (stopped && this.#waiting.length === 0 && !this.#ended) this.#glue.resume();
  }

  /** The client is gone. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#session.close();
  }

  #serve(): void {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (!this.#ended && this.#session.outbox.bytes <= HIGH_WATER) {
        const bytes = this.#waiting.shift();
        if (!bytes) break;
        const result = this.#reader.take(bytes, 0);
        if (result === 'too long') {
          this.#hangUp();
          break;
        }
        if (result.taken < bytes.length) this.#waiting.unshift(bytes.subarray(result.taken));
        if (result.message) this.#session.handle(result.message);
        if (this.#waiting.length === 0) this.#flush();
      }
    } finally {
      this.#busy = false;
    }
    this.#flush();
  }

  #flush(): void {
    const { outbox } = this.#session;
    if (this.#ended) outbox.clear();
    if (this.#busy && this.#waiting.length > 0 && outbox.bytes < CHUNK) return; // more replies will follow at once
    while (this.#writable && !outbox.empty) this.#writable = this.#glue.send(takeChunk(outbox));
    if (outbox.bytes > TOO_MUCH) this.#hangUp();
  }

  #hangUp(): void {
    this.end();
    this.#glue.close();
  }
}

function takeChunk(outbox: Session['outbox']): Uint8Array {
  const chunk = new Uint8Array(Math.min(outbox.bytes, CHUNK));
  let used = 0;
  while (used < chunk.length) {
    const bytes = outbox.peek();
    if (!bytes) break;
    const count = Math.min(bytes.length, chunk.length - used);
    chunk.set(bytes.subarray(0, count), used);
    outbox.consume(count);
    used += count;
  }
  return chunk;
}
