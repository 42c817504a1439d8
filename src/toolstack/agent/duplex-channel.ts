/** A socket, or another stream of Node's that goes both ways, as the bytes of a channel. */
import type { Duplex } from 'node:stream';
import type { ByteChannel } from './link.ts';

export function duplexChannel(stream: Duplex): ByteChannel {
  stream.on('error', () => stream.destroy());
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const bytes of stream as AsyncIterable<Uint8Array>) yield bytes;
      } catch {
        // It was destroyed: the end, like any other.
      }
    },
    write: (bytes) =>
      new Promise((resolve) => {
        if (stream.destroyed || !stream.writable) resolve(false);
        else stream.write(bytes, (error) => resolve(error === null || error === undefined));
      }),
    detach: () => void stream.destroy(),
  };
}
