import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualTimers } from '../testing/manual-timers.ts';
import { MemoryDisk } from '../testing/memory-disk.ts';
import { IdleFlush, REST_MS } from './idle-flush.ts';

describe('a disk that comes to rest', () => {
  const set = () => {
    const disk = new MemoryDisk(8);
    const timers = new ManualTimers();
    const errors: unknown[] = [];
    return { disk, timers, errors, flushes: new IdleFlush(disk, timers, (error) => errors.push(error)) };
  };

  it('is flushed once, when nothing has been written for a while', () => {
    const { disk, timers, flushes } = set();
    timers.pass(REST_MS * 3);
    assert.deepEqual(disk.calls, [], 'nothing was written');
    flushes.written();
    timers.pass(REST_MS - 1);
    flushes.written();
    timers.pass(1);
    assert.deepEqual(disk.calls, [], 'it is in use');
    timers.pass(REST_MS);
    assert.deepEqual(disk.calls, ['flush']);
    timers.pass(REST_MS * 3);
    assert.deepEqual(disk.calls, ['flush']);
    flushes.written();
    timers.pass(REST_MS);
    assert.deepEqual(disk.calls, ['flush', 'flush']);
  });

  it('is left alone once it is given up', () => {
    const { disk, timers, flushes } = set();
    flushes.written();
    flushes.stop();
    timers.pass(REST_MS * 3);
    assert.deepEqual(disk.calls, []);
  });

  it('that cannot be flushed says so', async () => {
    const { disk, timers, errors, flushes } = set();
    disk.fault = () => new Error('broken');
    flushes.written();
    timers.pass(REST_MS);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(errors.length, 1);
  });
});
