import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { drained } from './drained.ts';

/** Takes what is written when it is let. */
function slow(): { stream: Writable; take: () => void } {
  let take: () => void = () => undefined;
  const stream = new Writable({ highWaterMark: 1, write: (_bytes, _encoding, done) => (take = done) });
  return { stream, take: () => take() };
}

describe('a stream that is written to at its pace', () => {
  it('has no listeners left, however often it was waited for', async () => {
    const { stream, take } = slow();
    const listeners = (): number[] => ['drain', 'close', 'error'].map((name) => stream.listenerCount(name));
    const before = listeners();
    for (let turn = 0; turn < 50; turn++) {
      assert.ok(!stream.write('word'));
      const waiting = drained(stream);
      take();
      await waiting;
    }
    assert.deepEqual(listeners(), before);
  });

  it('is not waited for when it has ended', async () => {
    for (const why of [undefined, new Error('nobody reads')]) {
      const { stream } = slow();
      stream.write('word');
      stream.on('error', () => undefined);
      const waiting = drained(stream);
      stream.destroy(why);
      await waiting;
    }
  });
});
