import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { addBytes, addPieces, finish, fold } from './checksum.ts';

/** Word by word, as the RFC says it. */
function plain(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

it('adds up as the example of RFC 1071 does', () => {
  const bytes = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
  assert.equal(fold(addBytes(0, bytes)), 0xddf2);
  assert.equal(finish(addBytes(0, bytes)), 0x220d);
});

it('is the same wherever the bytes lie and however they are cut', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(3),
      fc.array(fc.nat(400), { maxLength: 4 }),
      (bytes, at, cuts) => {
        const moved = new Uint8Array(bytes.length + at).subarray(at);
        moved.set(bytes);
        assert.equal(addBytes(0, moved), plain(bytes));
        const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const pieces = places.slice(1).map((end, i) => moved.subarray(places[i] ?? 0, end));
        assert.equal(addPieces(0, pieces), plain(bytes));
      },
    ),
  );
});

it('is right for more than the largest frame', () => {
  const bytes = Uint8Array.from({ length: 300_001 }, (_, i) => (i * 7) ^ (i >> 8));
  assert.equal(addBytes(0, bytes), plain(bytes));
  assert.equal(addBytes(0, new Uint8Array(200_000).fill(0xff)), 0xffff);
});
