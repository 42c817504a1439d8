import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { Fragments } from './fragments.ts';
import type { IpPacket } from './ip.ts';

const part = (payload: Uint8Array, offset: number, more: boolean, id = 1): IpPacket => ({
  version: 4,
  source: Uint8Array.of(10, 0, 2, 15),
  destination: Uint8Array.of(10, 0, 2, 2),
  protocol: 17,
  hopLimit: 64,
  payload,
  fragment: { id, offset, more },
  verified: true,
});

it('puts a packet together in whatever order and how often its parts come', () => {
  const order = fc.array(fc.nat(9), { minLength: 10, maxLength: 40 });
  fc.assert(
    fc.property(order, (picks) => {
      const fragments = new Fragments(new ManualTimers());
      const whole = Uint8Array.from({ length: 797 }, (_, i) => i);
      const seen = new Set<number>();
      for (const pick of picks) {
        const from = pick * 80;
        const result = fragments.add(part(whole.subarray(from, from + 80), from, pick < 9));
        seen.add(pick);
        assert.equal(result !== undefined, seen.size === 10);
        if (result === undefined) continue;
        assert.deepEqual(result.payload, whole);
        assert.equal(result.verified, false, 'its checksum is that of the whole');
        return;
      }
    }),
  );
});

it('gives up on a packet whose parts overlap or contradict each other, or that is too long', () => {
  const fragments = new Fragments(new ManualTimers());
  fragments.add(part(new Uint8Array(80), 0, true));
  assert.equal(fragments.add(part(new Uint8Array(80), 40, true)), undefined);
  assert.equal(fragments.add(part(new Uint8Array(80), 80, false)), undefined, 'the first is forgotten');
  assert.equal(fragments.add(part(new Uint8Array(80), 65_528, false, 2)), undefined);
});

it('keeps a bounded number of incomplete packets for a bounded time', () => {
  const timers = new ManualTimers();
  const fragments = new Fragments(timers);
  for (let id = 0; id < 1000; id++) fragments.add(part(new Uint8Array(8), 0, true, id));
  assert.equal(fragments.add(part(new Uint8Array(8), 8, false, 0)), undefined, 'pushed out');
  assert.ok(fragments.add(part(new Uint8Array(8), 8, false, 999)));
  timers.pass(31_000);
  assert.equal(fragments.add(part(new Uint8Array(8), 8, false, 998)), undefined, 'too late');
});
