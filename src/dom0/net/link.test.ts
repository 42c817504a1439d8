import assert from 'node:assert/strict';
import { it } from 'node:test';
import { keepFrame, LinkEnd, type Frame } from './link.ts';

const frame: Frame = { head: new Uint8Array(60).fill(7), fragments: [], length: 60 };

it('a frame sent at one end is received at the other', () => {
  const [one, two] = LinkEnd.pair();
  const received: Frame[] = [];
  two.attach({ receive: (got) => received.push(got) > 0 });
  assert.equal(one.send(frame), true);
  assert.deepEqual(received, [frame]);
});

it('a receiver without room tells once when it has room again', () => {
  const [one, two] = LinkEnd.pair();
  let rooms = 0;
  let full = true;
  one.attach({ receive: () => true, room: () => void rooms++ });
  two.attach({ receive: () => !full });
  two.ready();
  assert.equal(rooms, 0);
  assert.deepEqual([one.send(frame), one.send(frame)], [false, false]);
  full = false;
  two.ready();
  two.ready();
  assert.equal(rooms, 1);
  assert.equal(one.send(frame), true);
});

it('closing tells the other end once, and what is sent afterwards is lost', () => {
  const [one, two] = LinkEnd.pair();
  let closed = 0;
  one.attach({ receive: () => assert.fail('closed') });
  two.attach({ receive: () => assert.fail('closed'), closed: () => void closed++ });
  one.close();
  one.close();
  two.close();
  assert.equal(closed, 1);
  assert.deepEqual([one.open, two.open], [false, false]);
  assert.deepEqual([one.send(frame), two.send(frame)], [true, true]);
});

it('a frame that is kept has a copy of all its bytes', () => {
  const guest = new Uint8Array(100).fill(1);
  const kept = keepFrame({ head: new Uint8Array(20), fragments: [guest.subarray(0, 30)], length: 50, verified: true });
  guest.fill(2);
  assert.deepEqual(kept.head, Uint8Array.from([...Array<number>(20).fill(0), ...Array<number>(30).fill(1)]));
  assert.deepEqual([kept.fragments, kept.length, kept.verified], [[], 50, true]);
});
