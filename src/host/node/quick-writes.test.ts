import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { QuickWrites } from './quick-writes.ts';

describe('writes by the main thread', () => {
  it('stop for a while after one that was slow, whatever came of it', () => {
    let now = 0;
    const writes = new QuickWrites(() => now);
    const taking = (milliseconds: number) =>
      writes.run(() => {
        now += milliseconds;
        return milliseconds;
      });
    assert.equal(taking(1), 1);
    assert.equal(writes.allowed, true);
    taking(10);
    assert.equal(writes.allowed, false);
    now += 999;
    assert.equal(writes.allowed, false);
    now += 1;
    assert.equal(writes.allowed, true);
    assert.throws(() =>
      writes.run(() => {
        now += 5;
        throw new Error('no space');
      }),
    );
    assert.equal(writes.allowed, false);
  });
});
