import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FakeDomain } from '../testing/fake-hypervisor.ts';
import { FrontRing } from '../testing/front-ring.ts';
import { BackRing } from './back-ring.ts';

const SLOT = 112;

function rings(mfns: readonly number[]): { front: FrontRing; back: BackRing } {
  const front = new FrontRing(new FakeDomain(1, 8), mfns, SLOT);
  return { front, back: new BackRing(front.pages, SLOT) };
}

function request(n: number): Uint8Array {
  return Uint8Array.from({ length: SLOT }, (_, i) => (n * 7 + i) & 0xff);
}

const words = new Int32Array(SLOT / 4);
const bytesOf = (array: Int32Array): Uint8Array => new Uint8Array(array.buffer).slice();

describe('the back half of a ring', () => {
  for (const mfns of [[3], [5, 2], [7, 1, 4, 2]]) {
    it(`carries requests and responses through ${mfns.length} pages, wrap-around and slots across pages included`, () => {
      const { front, back } = rings(mfns);
      for (let n = 0; n < back.slots * 3; n++) {
        front.put(request(n));
        front.push();
        assert.equal(back.available, 1);
        assert.ok(back.take(words));
        assert.deepEqual(bytesOf(words), request(n));
        back.respond(Int32Array.of(n, -n, 3, 4));
        back.push();
        assert.deepEqual(new Int32Array((front.take(16) ?? new Uint8Array(16)).buffer), Int32Array.of(n, -n, 3, 4));
      }
      assert.equal(back.take(words), false);
    });
  }

  it('notifies exactly when the frontend has asked to hear of one of the new responses', () => {
    const { front, back } = rings([0]);
    for (let n = 0; n < 4; n++) front.put(request(n));
    front.push();
    for (let n = 0; n < 4; n++) back.take(words);
    back.respond(words);
    assert.equal(back.push(), true); // rsp_event is 1
    back.respond(words);
    assert.equal(back.push(), false); // nobody asked again
    front.setWord('rsp_event', 4);
    back.respond(words);
    assert.equal(back.push(), false);
    back.respond(words);
    assert.equal(back.push(), true);
    assert.equal(back.push(), false); // nothing new
  });

  it('asks to be notified of the request that follows those that are there, when there are too few', () => {
    const { front, back } = rings([0]);
    for (let n = 0; n < 3; n++) front.put(request(n));
    assert.equal(front.push(), true);
    assert.equal(back.has(3), true);
    assert.equal(back.has(5), false);
    front.put(request(3));
    assert.equal(front.push(), true);
    assert.equal(back.has(5), false);
    front.put(request(4));
    assert.equal(front.push(), true);
    assert.equal(back.has(5), true);
  });

  it('asks to be notified before it rests, and sees what came in between', () => {
    const { front, back } = rings([0]);
    front.put(request(0));
    assert.equal(front.push(), true);
    back.take(words);
    front.put(request(1));
    assert.equal(front.push(), false); // the backend has not asked
    assert.equal(back.finalCheck(), true);
    back.take(words);
    assert.equal(back.finalCheck(), false);
    front.put(request(2));
    assert.equal(front.push(), true);
  });

  it('halts for good when the frontend claims more requests than the ring holds', () => {
    const { front, back } = rings([0]);
    front.setWord('req_prod', back.slots + 1);
    assert.equal(back.available, 0);
    assert.equal(back.broken, 'Frontend provided bogus ring requests (33 - 0 = 33)');
    front.setWord('req_prod', 1);
    assert.equal(back.take(words), false);
  });

  it('goes on after the last response of another backend', () => {
    const { front, back } = rings([0]);
    for (let n = 0; n < 3; n++) front.put(request(n));
    front.push();
    back.take(words);
    back.respond(words);
    back.push();
    const next = new BackRing(front.pages, SLOT);
    assert.equal(next.available, 2);
    next.take(words);
    assert.deepEqual(bytesOf(words), request(1));
  });

  it('survives any indices', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.array(fc.tuple(u32, u32, u32), { maxLength: 50 }), (writes) => {
        const { front, back } = rings([0, 1]);
        for (const [prod, rspProd, rspEvent] of writes) {
          front.setWord('req_prod', prod);
          front.setWord('rsp_prod', rspProd);
          front.setWord('rsp_event', rspEvent);
          let taken = 0;
          while (back.take(words)) taken++;
          assert.ok(taken <= back.slots);
          for (let i = 0; i < taken; i++) back.respond(words);
          back.push();
          back.finalCheck();
        }
      }),
    );
  });
});
