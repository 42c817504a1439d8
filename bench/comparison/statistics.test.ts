import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ratios, spread } from './statistics.ts';

describe('statistics', () => {
  it('take the middle value, or what lies between the middle two', () => {
    assert.deepEqual(spread([3, 1, 2]), { median: 2, min: 1, max: 3 });
    assert.deepEqual(spread([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 });
    assert.throws(() => spread([]), /no values/);
  });

  it('compare round by round, so that a slow moment of the machine cancels out', () => {
    assert.deepEqual(ratios([10, 5, 20], [5, 2.5, 10], 'higher'), { median: 2, min: 2, max: 2 });
    assert.deepEqual(ratios([2, 4], [6, 4], 'lower'), { median: 2, min: 1, max: 3 });
  });
});
