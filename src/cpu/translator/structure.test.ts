import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Node } from './job.ts';
import { structureOf } from './structure.ts';

/** Nodes by where they go: [taken, next]. */
const graph = (...edges: readonly (readonly (number | undefined)[])[]): Node[] =>
  edges.map(([taken, next], n) => ({
    at: n * 16,
    end: n * 16 + 16,
    instructions: [n],
    taken,
    next,
    returns: undefined,
  }));

describe('the structure of a control-flow graph', () => {
  it('orders a node after those that dominate it, and leaves out what nothing leads to', () => {
    const { order } = structureOf(graph([2, 1], [undefined, 3], [3], [], [3]));
    assert.equal(order[0], 0);
    assert.deepEqual([...order].sort(), [0, 1, 2, 3]);
    assert.equal(order.at(-1), 3);
  });

  it('calls a node with two ways to it a merge, of the node that both come from', () => {
    const s = structureOf(graph([2, 1], [undefined, 3], [3], []));
    assert.deepEqual([0, 1, 2, 3].map(s.isMerge), [false, false, false, true]);
    assert.deepEqual(s.mergesOf(0), [3]);
  });

  it('counts both ways of a branch to the same place', () => {
    assert.equal(structureOf(graph([1, 1], [])).isMerge(1), true);
  });

  it('finds loops by the edges back to a node that dominates', () => {
    const s = structureOf(graph([undefined, 1], [1, 2], [0]));
    assert.deepEqual([0, 1, 2].map(s.isLoop), [true, true, false]);
    assert.equal(s.isBack(1, 1), true);
    assert.equal(s.isBack(2, 0), true);
    assert.equal(s.isMerge(1), false);
  });

  it('gives inner merges to the node that dominates them, the last in order first', () => {
    const s = structureOf(graph([2, 1], [3, 4], [3], [undefined, 4], []));
    assert.deepEqual(s.mergesOf(0), [4, 3]);
  });

  it('cuts edges that lead into the middle of a loop', () => {
    // 1 and 2 lead to each other, and 0 leads to both.
    const s = structureOf(graph([2, 1], [2], [1]));
    assert.equal(s.isCut(1, 2) || s.isCut(2, 1), true);
    assert.deepEqual([1, 2].map(s.isLoop), [false, false]);
  });
});
