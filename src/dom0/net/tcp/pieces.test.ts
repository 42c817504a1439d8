/** The parts of a connection against models of a few lines. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../testing/tcp-peer.ts';
import { Reassembly } from './reassembly.ts';
import { Scoreboard } from './scoreboard.ts';
import { encodeOptions, parseSegment, seqAdd, seqDiff, writeHeader } from './segment.ts';
import { SendBuffer } from './send-buffer.ts';

const stream = Uint8Array.from({ length: 400 }, (_, i) => i);
/** Near the end of the circle, so that it is crossed. */
const base = 0xffffff80;

it('what arrives early comes out once and in order, as from an array with holes', () => {
  const piece = fc.record({ from: fc.nat(350), length: fc.integer({ min: 1, max: 50 }) });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(60), (pieces, next) => {
      const reassembly = new Reassembly();
      const has = new Set<number>();
      for (const { from, length } of pieces) {
        reassembly.add(seqAdd(base, from), stream.subarray(from, from + length));
        for (let i = from; i < from + length; i++) has.add(i);
      }
      assert.equal(reassembly.size, has.size);
      const marked = new Set<number>();
      for (const { start, end } of reassembly.ranges(1000)) {
        for (let i = seqDiff(start, base); i < seqDiff(end, base); i++) marked.add(i);
      }
      assert.deepEqual([...marked].sort(), [...has].sort());
      let end = next;
      while (has.has(end)) end += 1;
      const taken = concat(reassembly.take(seqAdd(base, next)));
      assert.deepEqual(taken, stream.slice(next, end));
    }),
  );
});

it('the scoreboard knows what is missing, as a set of numbers does', () => {
  const block = fc.record({ from: fc.integer({ min: -20, max: 320 }), length: fc.nat(40) });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 20 }), fc.nat(100), (blocks, una) => {
      const scoreboard = new Scoreboard();
      const has = new Set<number>();
      const max = 300;
      for (const { from, length } of blocks) {
        scoreboard.update([{ start: seqAdd(base, from), end: seqAdd(base, from + length) }], base, seqAdd(base, max));
        // What cannot be true is not believed.
        if (from > 0 && length > 0 && from + length <= max) for (let i = from; i < from + length; i++) has.add(i);
      }
      assert.equal(scoreboard.bytes, has.size);
      scoreboard.advance(seqAdd(base, una));
      const left = [...has].filter((n) => n >= una);
      assert.equal(scoreboard.bytes, left.length);
      const last = Math.max(...left, una);
      const missing = Array.from({ length: last - una }, (_, i) => una + i).filter((n) => !has.has(n));
      assert.equal(scoreboard.missing(seqAdd(base, una)), missing.length);
      const hole = scoreboard.hole(seqAdd(base, una));
      assert.equal(hole && seqDiff(hole.start, base), missing[0]);
    }),
  );
});

it('the send buffer gives any part of what it holds, whatever sizes it came in', () => {
  const step = fc.record({
    append: fc.oneof(fc.nat(50), fc.nat(9000)),
    drop: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(1000), (steps, seed) => {
      const buffer = new SendBuffer();
      let model: number[] = [];
      let next = seed;
      for (const { append, drop } of steps) {
        const bytes = Uint8Array.from({ length: append }, () => next++ & 0xff);
        buffer.append(bytes);
        model.push(...bytes);
        const gone = Math.floor(drop * model.length);
        buffer.drop(gone);
        model = model.slice(gone);
        assert.equal(buffer.length, model.length);
        const from = Math.floor(model.length / 3);
        const length = Math.floor(model.length / 2);
        assert.deepEqual(concat(buffer.slice(from, length)), Uint8Array.from(model.slice(from, from + length)));
      }
    }),
  );
});

it('many small pieces cost little more than their bytes', () => {
  const buffer = new SendBuffer();
  for (let i = 0; i < 100_000; i++) buffer.append(Uint8Array.of(i));
  assert.ok(buffer.slice(0, 100_000).length < 10);
});

it('a header is read as it was written', () => {
  const word = fc.nat(0xffffffff);
  const sack = fc.array(fc.record({ start: word, end: word }, { noNullPrototype: true }), {
    minLength: 1,
    maxLength: 3,
  });
  const options = fc.record(
    { mss: fc.nat(0xffff), windowScale: fc.nat(14), sackPermitted: fc.constant(true), sack },
    { requiredKeys: [] },
  );
  const header = fc.record({
    sourcePort: fc.nat(0xffff),
    destinationPort: fc.nat(0xffff),
    seq: word,
    ack: word,
    flags: fc.nat(0xff),
    window: fc.nat(0xffff),
  });
  fc.assert(
    fc.property(header, options, (fields, some) => {
      const encoded = encodeOptions(some);
      fc.pre(encoded.length <= 40);
      const bytes = new Uint8Array(60);
      const length = writeHeader(bytes, 0, fields, encoded);
      const read = parseSegment(bytes, 0, length, stream);
      const given = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
      assert.deepEqual(given, { ...fields, ...some, payload: stream });
    }),
  );
});

it('options that are broken are left out', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 60, maxLength: 60 }), (bytes) => {
      parseSegment(bytes, 0, 60, stream);
    }),
  );
});
