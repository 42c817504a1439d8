import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HostState } from './host-state.ts';

/** The ports that have events, and whether somebody was woken for them. */
function heard(state: HostState, raise: () => void): { ports: number[]; woken: boolean } {
  const before = Atomics.load(state.words, state.wakeIndex);
  raise();
  const woken = Atomics.load(state.words, state.wakeIndex) !== before;
  const ports: number[] = [];
  state.drain((port) => ports.push(port));
  return { ports, woken };
}

describe('domain 0’s events', () => {
  it('wake it once for all that it has not looked at', () => {
    const state = new HostState();
    assert.deepEqual(
      heard(state, () => [40, 7, 40].forEach((port) => state.raise(port))),
      { ports: [7, 40], woken: true },
    );
  });

  it('are not heard while they are ignored, of this port and so many', () => {
    const state = new HostState();
    state.ignore(7, 2);
    const none = { ports: [], woken: false };
    assert.deepEqual(
      heard(state, () => state.raise(7)),
      none,
    );
    assert.deepEqual(
      heard(state, () => state.raise(8)),
      { ports: [8], woken: true },
    );
    assert.deepEqual(
      heard(state, () => state.raise(7)),
      none,
    );
    assert.deepEqual(
      heard(state, () => state.raise(7)),
      { ports: [7], woken: true },
    );
  });

  it('are all heard again when nothing is ignored any more', () => {
    const state = new HostState();
    state.ignore(7, 100);
    state.ignore(7, 0);
    assert.deepEqual(
      heard(state, () => state.raise(7)),
      { ports: [7], woken: true },
    );
  });
});
