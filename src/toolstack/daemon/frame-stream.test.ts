import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StreamError } from '../migration/byte-stream.ts';
import { FrameStream, type FrameSocket } from './frame-stream.ts';
import { maxData } from './frames.ts';

class Socket implements FrameSocket {
  readonly sent: Uint8Array[] = [];
  paused = false;
  written: () => void = () => undefined;

  send(chunks: readonly Uint8Array[]): Promise<void> {
    this.sent.push(...chunks);
    return new Promise((resolve) => (this.written = resolve));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

describe('a stream of data frames', () => {
  it('is read in other pieces than it comes', async () => {
    const stream = new FrameStream(new Socket());
    const first = stream.read(3);
    stream.push(Uint8Array.of(1, 2));
    stream.push(Uint8Array.of(3, 4, 5));
    assert.deepEqual(await first, Uint8Array.of(1, 2, 3));
    stream.end();
    assert.deepEqual(await stream.read(2), Uint8Array.of(4, 5));
    await assert.rejects(stream.read(1), StreamError);
  });

  it('keeps its sender waiting while nobody reads', async () => {
    const socket = new Socket();
    const stream = new FrameStream(socket);
    const chunk = new Uint8Array(maxData);
    let pushed = 0;
    for (; !socket.paused; pushed++) stream.push(chunk);
    assert.ok(pushed * maxData < 8 * 2 ** 20);
    await stream.read(pushed * maxData);
    assert.equal(socket.paused, false);
  });

  it('waits until bytes are written, and goes no further when the other end is gone', async () => {
    const socket = new Socket();
    const stream = new FrameStream(socket);
    let done = false;
    const written = stream.write([Uint8Array.of(7), Uint8Array.of(8)]).then(() => (done = true));
    await new Promise(setImmediate);
    assert.equal(done, false);
    assert.equal(socket.sent.length, 2);
    socket.written();
    await written;
    stream.end();
    await assert.rejects(stream.write([Uint8Array.of(9)]), StreamError);
    assert.equal(socket.sent.length, 2);
  });
});
