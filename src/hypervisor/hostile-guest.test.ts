/**
 * Nothing that a guest does stops the host: no exception leaves the hypervisor, every call ends, and what the hypervisor
 * keeps of the domain agrees with itself afterwards. A failure names the list of seeds that leads to it, as short as can be.
 *
 *   HOSTILE_GUEST_RUNS=2000 HOSTILE_GUEST_SEED=7 node --test src/hypervisor/hostile-guest.test.ts
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { act } from './testing/hostile-actions.ts';
import { HostileGuest } from './testing/hostile-guest.ts';

const RUNS = Number(process.env['HOSTILE_GUEST_RUNS'] ?? 30);
const SEED = Number(process.env['HOSTILE_GUEST_SEED'] ?? 1);
const ACTIONS = 400;
const CHECK_EVERY = 4;

const seeds = fc.array(fc.noShrink(fc.integer({ min: 1, max: 0x7fff_ffff })), {
  minLength: 1,
  maxLength: ACTIONS,
  size: 'max',
});

function sequence(list: readonly number[]): number {
  const guest = new HostileGuest();
  let done = 0;
  for (const seed of list) {
    act(guest, seed);
    if (++done % CHECK_EVERY === 0) guest.check();
    if (!guest.alive) break;
  }
  guest.check();
  guest.checkBystander();
  return done;
}

describe('a hostile guest', () => {
  it(`stops nothing but itself (${RUNS} sequences of up to ${ACTIONS} actions, seed ${SEED})`, () => {
    let actions = 0;
    const property = fc.property(seeds, (list) => {
      actions += sequence(list);
    });
    fc.assert(property, { seed: SEED, numRuns: RUNS, endOnFailure: process.env['HOSTILE_GUEST_SHRINK'] === '0' });
    assert.ok(actions > RUNS * 20, `only ${actions} actions: the guests die too soon to show anything`);
  });
});
