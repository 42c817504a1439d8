/** A domain on its way through the daemon's socket, as data frames: both ends use this. What has not been read waits with the sender. */
import type { ByteSink, ByteSource } from '../migration/byte-stream.ts';
import { endedEarly } from '../migration/byte-stream.ts';
import { maxData } from './frames.ts';

/** The socket, as far as a stream needs it. */
export interface FrameSocket {
  /** One data frame of at most `maxData` bytes; false when the socket is to be given time. */
  send(bytes: Uint8Array): boolean;
  /** Resolves when there is room again, or the connection is gone. */
  drained(): Promise<void>;
  pause(): void;
  resume(): void;
}

const HIGH_WATER = 4 * 1024 * 1024;

export class FrameStream implements ByteSource, ByteSink {
  readonly #socket: FrameSocket;
  readonly #chunks: Uint8Array[] = [];
  #queued = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: FrameSocket) {
    this.#socket = socket;
  }

  // --- for the connection ----------------------------------------------------------------------------------------------

  /** Bytes of the other end. */
  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued > HIGH_WATER) this.#socket.pause();
    this.#wake();
  }

  /** The other end is gone. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  // --- for who uses it -------------------------------------------------------------------------------------------------

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
        this.#socket.resume();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const taken = chunk.subarray(0, target.length - done);
      target.set(taken, done);
      done += taken.length;
      this.#queued -= taken.length;
      if (taken.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(taken.length);
    }
    if (this.#queued < HIGH_WATER) this.#socket.resume();
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += maxData) {
        if (this.#ended) throw endedEarly();
        // The frame is a copy.
        if (!this.#socket.send(chunk.subarray(at, at + maxData))) await this.#socket.drained();
      }
    }
  }
}
