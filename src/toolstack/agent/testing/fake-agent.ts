/** An agent that does what a test says: the other end of a channel, without a guest. */
import { encodeFrame, FrameDecoder } from '../frames.ts';
import type { ByteChannel } from '../link.ts';
import { Ask, message, Tell, type Message } from '../protocol.ts';

export class FakeAgent {
  /** What the host has asked for, without the beginnings of sessions. */
  readonly asked: Message[] = [];
  operations = 64;
  window = 32_768;
  version = 1;
  /** Answers what the host asks for. */
  onMessage: (message: Message) => void = () => undefined;
  /** Bytes that the host has sent and the guest has not read; nothing is taken while it is false. */
  reading = true;
  readonly #decoder = new FrameDecoder();
  #toHost: Uint8Array[] = [];
  #ended = false;
  #wake: () => void = () => undefined;
  #resume: () => void = () => undefined;

  readonly channel: ByteChannel = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        for (;;) {
          const bytes = this.#toHost.shift();
          if (bytes !== undefined) return { done: false, value: bytes };
          if (this.#ended) return { done: true, value: undefined };
          await new Promise<void>((resolve) => (this.#wake = resolve));
        }
      },
    }),
    write: async (bytes) => {
      if (!this.reading) await new Promise<void>((resolve) => (this.#resume = resolve));
      for (const asked of this.#decoder.push(bytes)) this.#take(asked);
      return !this.#ended;
    },
    detach: () => this.end(),
  };

  /** Whatever bytes a guest may send. */
  sendBytes(bytes: Uint8Array): void {
    this.#toHost.push(bytes);
    this.#wake();
  }

  send(type: number, id: number, content: readonly number[] | Uint8Array = []): void {
    this.sendBytes(encodeFrame(message(type, id, Uint8Array.from(content))));
  }

  hello(session: Uint8Array): void {
    const content = Buffer.alloc(20);
    content.writeUInt32LE(0x47414c58, 0);
    content.writeUInt16LE(this.version, 4);
    content.writeUInt16LE(this.operations, 6);
    content.writeUInt32LE(this.window, 8);
    content.set(session, 12);
    this.send(Tell.hello, 0, content);
  }

  result(id: number, errno = 0, stage = 0): void {
    this.send(Tell.result, id, [errno, 0, 0, 0, stage]);
  }

  read(): void {
    this.reading = true;
    this.#resume();
  }

  /** The guest is gone. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  get ended(): boolean {
    return this.#ended;
  }

  #take(asked: Message): void {
    if (asked.type === Ask.reset) {
      this.hello(asked.content.subarray(8));
      return;
    }
    this.asked.push(asked);
    this.onMessage(asked);
  }
}
