import assert from 'node:assert/strict';
import { it } from 'node:test';
import { indexDistance, ringSize, wantsNotify } from './ring.ts';
import { xenbusStateOf } from './xenbus.ts';

it('rings have as many slots as the headers compute', () => {
  assert.equal(ringSize(1, 112), 32); // blkif, x86_64
  assert.equal(ringSize(16, 112), 512);
  assert.equal(ringSize(1, 12), 256); // netif tx
  assert.equal(ringSize(1, 8), 256); // netif rx
});

it('index arithmetic goes through the wrap-around', () => {
  assert.equal(indexDistance(2, 0xfffffffe), 4);
  assert.equal(indexDistance(0xfffffffe, 2), 0xfffffffc);
  assert.equal(wantsNotify(0xffffffff, 0xfffffffe, 1), true); // slot 0xffffffff is among 0xfffffffe … 0
  assert.equal(wantsNotify(2, 0xfffffffe, 1), false);
  assert.equal(wantsNotify(5, 5, 5), false);
});

it('a state that is missing or no digit is Unknown', () => {
  assert.deepEqual([undefined, '', '4', '9', '44', 'x'].map(xenbusStateOf), [
    'Unknown',
    'Unknown',
    'Connected',
    'Unknown',
    'Unknown',
    'Unknown',
  ]);
});
