import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { SpareWorker, type Idle } from './spare-worker.ts';

class FakeWorker extends EventEmitter implements Idle {
  referenced = true;
  ended = false;

  ref(): void {
    this.referenced = true;
  }

  unref(): void {
    this.referenced = false;
  }

  terminate(): Promise<void> {
    this.ended = true;
    return Promise.resolve();
  }
}

describe('the spare worker', () => {
  const setUp = (renewMs?: number): { made: FakeWorker[]; spare: SpareWorker<FakeWorker> } => {
    const made: FakeWorker[] = [];
    const create = (): FakeWorker => {
      const worker = new FakeWorker();
      made.push(worker);
      return worker;
    };
    return { made, spare: new SpareWorker(create, renewMs) };
  };

  it('is there at once, and keeps no process alive', () => {
    const { made, spare } = setUp();
    assert.equal(made.length, 1);
    assert.equal(made[0]?.referenced, false);
    assert.equal(spare.take(), made[0]);
    assert.equal(made[0]?.referenced, true);
  });

  it('is given to one only, and replaced later', async () => {
    const { made, spare } = setUp(1);
    assert.notEqual(spare.take(), spare.take());
    assert.equal(made.length, 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(made.length, 3, 'one waits, however many were taken');
    assert.equal(spare.take(), made[2]);
    await spare.close();
  });

  it('is not given away when it has ended while it waited', () => {
    const { made, spare } = setUp();
    made[0]?.emit('exit');
    assert.equal(spare.take(), made[1]);
  });

  it('ends at the end, and is not replaced', async () => {
    const { made, spare } = setUp(1);
    await spare.close();
    assert.equal(made[0]?.ended, true);
    spare.take();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(made.length, 2);
  });
});
