import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gapsClosed, within, without } from './page-runs.ts';

const run = (first: number, end: number) => ({ first, end });
const some = [run(0, 2), run(3, 4), run(10, 12), run(14, 20), run(40, 41)];

describe('runs of pages', () => {
  it('stay as they are when there are few', () => {
    assert.deepEqual(gapsClosed(some, 5), some);
    assert.deepEqual(gapsClosed([], 5), []);
  });

  it('become fewer by their narrowest gaps', () => {
    assert.deepEqual(gapsClosed(some, 4), [run(0, 4), run(10, 12), run(14, 20), run(40, 41)]);
    assert.deepEqual(gapsClosed(some, 2), [run(0, 20), run(40, 41)]);
    assert.deepEqual(gapsClosed(some, 1), [run(0, 41)]);
  });

  it('are never more than asked for where gaps are equally wide', () => {
    const even = Array.from({ length: 10 }, (_, i) => run(i * 2, i * 2 + 1));
    assert.deepEqual(gapsClosed(even, 3), [run(0, 1), run(2, 3), run(4, 19)]);
  });

  it('may overlap, where two lists were put together', () => {
    assert.deepEqual(gapsClosed([run(0, 10), run(2, 4), run(10, 11), run(20, 21)], 5), [run(0, 11), run(20, 21)]);
  });

  it('are cut to what lies in others', () => {
    assert.deepEqual(within([run(0, 10), run(20, 30)], [run(5, 25), run(28, 50)]), [
      run(5, 10),
      run(20, 25),
      run(28, 30),
    ]);
  });

  it('are cut to what does not', () => {
    const piece = { ...run(0, 10), file: 'a' };
    assert.deepEqual(without([piece], [run(2, 4), run(9, 12)]), [
      { first: 0, end: 2, file: 'a' },
      { first: 4, end: 9, file: 'a' },
    ]);
    assert.deepEqual(without([piece], [run(0, 10)]), []);
    assert.deepEqual(without([piece], [run(10, 20)]), [piece]);
  });
});
