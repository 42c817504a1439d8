import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { SpareWorkers, type Idle } from './spare-workers.ts';

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

describe('spare workers', () => {
  const setUp = (ms = 5000): { made: FakeWorker[]; spare: SpareWorkers<FakeWorker> } => {
    const made: FakeWorker[] = [];
    const create = (): FakeWorker => {
      const worker = new FakeWorker();
      made.push(worker);
      return worker;
    };
    return { made, spare: new SpareWorkers(create, { renew: ms, hurry: ms, keep: 20 * ms }) };
  };

  it('are there at once, one, and keep no process alive', () => {
    const { made, spare } = setUp();
    assert.equal(made.length, 1);
    assert.equal(made[0]?.referenced, false);
    assert.equal(spare.take(), made[0]);
    assert.equal(made[0]?.referenced, true);
  });

  it('are given to one only, and replaced later', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { made, spare } = setUp(1);
    assert.notEqual(spare.take(), spare.take());
    assert.equal(made.length, 2);
    t.mock.timers.tick(50);
    assert.equal(made.length, 3, 'one waits, however many were taken');
    assert.equal(spare.take(), made[2]);
    await spare.close();
  });

  it('are those first that were given back, in the place of others', () => {
    const { made, spare } = setUp();
    const used = spare.take();
    spare.giveBack(used);
    assert.deepEqual([used.referenced, used.ended], [false, false]);
    assert.equal(spare.take(), used);
    const other = spare.take();
    spare.giveBack(other);
    spare.giveBack(used);
    assert.deepEqual([used.ended, other.ended], [false, true], 'one waits');
    used.emit('exit');
    assert.equal(spare.take(), made[2]);
  });

  it('are not given away when they have ended while they waited', () => {
    const { made, spare } = setUp();
    made[0]?.emit('exit');
    assert.equal(spare.take(), made[1]);
  });

  it('are more where more are expected, for a while', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { made, spare } = setUp(5);
    spare.expect(3);
    spare.expect(100);
    for (let passed = 0; passed < 90; passed += 5) t.mock.timers.tick(5);
    assert.equal(made.length, 8);
    assert.equal(spare.take(), made[0]);
    t.mock.timers.tick(200);
    assert.equal(made.filter(({ ended, referenced }) => !ended && !referenced).length, 1);
    await spare.close();
  });

  it('end at the end, and are not replaced', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { made, spare } = setUp(1);
    await spare.close();
    assert.equal(made[0]?.ended, true);
    spare.take();
    t.mock.timers.tick(20);
    assert.equal(made.length, 2);
  });
});
