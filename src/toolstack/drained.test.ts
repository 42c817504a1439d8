import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { atPaceOf, drained } from './drained.ts';

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

  it('has one listener for all who wait', async () => {
    const { stream, take } = slow();
    stream.write('word');
    const waiting = Array.from({ length: 50 }, () => drained(stream));
    assert.equal(stream.listenerCount('drain'), 1);
    take();
    await Promise.all(waiting);
    assert.equal(stream.listenerCount('drain'), 0);
  });

  it('stops who writes to it, once, though more still comes', async () => {
    const { stream, take } = slow();
    const did: string[] = [];
    const write = atPaceOf(stream, { pause: () => did.push('pause'), resume: () => did.push('resume') });
    for (let word = 0; word < 50; word++) write('word');
    assert.deepEqual([did, stream.listenerCount('drain')], [['pause'], 1]);
    while (stream.writableLength > 0) {
      take();
      await new Promise(setImmediate);
    }
    assert.deepEqual([did, stream.listenerCount('drain')], [['pause', 'resume'], 0]);
    write('word');
    assert.equal(did.at(-1), 'pause');
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
