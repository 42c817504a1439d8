/** A domain on its way through the daemon's socket, as data frames: both ends use this. What has not been read waits with the sender. */
import type { ByteSink, ByteSource } from '../migration/byte-stream.ts';
import { endedEarly } from '../migration/byte-stream.ts';
import { ChunkQueue } from '../migration/chunk-queue.ts';

/** The socket, as far as a stream needs it. */
export interface FrameSocket {
  /** As data frames. Resolves when the bytes may change, or the connection is gone. */
  send(chunks: readonly Uint8Array[]): Promise<void>;
  pause(): void;
  resume(): void;
}

const HIGH_WATER = 4 * 1024 * 1024;

export class FrameStream implements ByteSource, ByteSink {
  readonly #socket: FrameSocket;
  readonly #queue = new ChunkQueue();

  constructor(socket: FrameSocket) {
    this.#socket = socket;
  }

  // --- for the connection ----------------------------------------------------------------------------------------------

  /** Bytes of the other end. */
  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    if (this.#queue.length > HIGH_WATER) this.#socket.pause();
  }

  /** The other end is gone. */
  end(): void {
    this.#queue.end();
  }

  // --- for who uses it -------------------------------------------------------------------------------------------------

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Uint8Array): Promise<void> {
    await this.#queue.readInto(target, () => this.#socket.resume());
    if (this.#queue.length < HIGH_WATER) this.#socket.resume();
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    if (this.#queue.ended) throw endedEarly();
    await this.#socket.send(chunks);
  }
}
