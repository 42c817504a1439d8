/** A connection against itself over good and bad networks, and against single segments that should not be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { concat, connect, Peer, smooth, type Fate } from '../../testing/tcp-peer.ts';
import { ACK, FIN, RST, SYN, type Segment } from './segment.ts';
import { TcpConnection, type Outgoing } from './connection.ts';

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 0xff);
}

/** A fate for each segment in turn, from small numbers that fast-check can shrink; no more harm after the last. */
function fates(numbers: readonly number[]): () => Fate {
  let at = 0;
  return () => {
    const n = numbers[at++] ?? 0;
    return { lost: n % 7 === 1, twice: n % 11 === 2, delay: 1 + (n % 5 === 3 ? n % 23 : 0), refused: n % 13 === 4 };
  };
}

interface Case {
  readonly network: readonly number[];
  readonly back: readonly number[];
  readonly iss: readonly [number, number];
  readonly mss: readonly [number, number];
  readonly limits: readonly [number, number];
  readonly writes: readonly [readonly number[], readonly number[]];
}

const size = fc.oneof(fc.nat(100), fc.nat(5000), fc.nat(100_000));
const bad = fc.array(fc.nat(1000), { maxLength: 300 });
const limit = fc.oneof(
  fc.constant(-1),
  fc.integer({ min: 9000, max: 20_000 }),
  fc.integer({ min: 9000, max: 200_000 }),
);
const sequence = fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0xffffff00, max: 0xffffffff }));
const cases: fc.Arbitrary<Case> = fc.record({
  network: bad,
  back: bad,
  iss: fc.tuple(sequence, sequence),
  mss: fc.tuple(fc.integer({ min: 88, max: 9000 }), fc.integer({ min: 88, max: 1460 })),
  limits: fc.tuple(limit, limit),
  writes: fc.tuple(fc.array(size, { maxLength: 6 }), fc.array(size, { maxLength: 6 })),
});

describe('a TCP connection', () => {
  it('carries everything in order over a network that loses, repeats, delays and refuses, and ends on both sides', () => {
    fc.assert(
      fc.property(cases, ({ network, back, iss, mss, limits, writes }) => {
        const timers = new ManualTimers();
        const peers = [new Peer(timers, fates(network), limits[0]), new Peer(timers, fates(back), limits[1])] as const;
        connect(peers[0], peers[1], iss, mss);
        const sent = writes.map((sizes, side) => sizes.map((length, i) => pattern(length, side * 77 + i)));
        const waiting = sent.map((pieces) => [...pieces]);
        const done = [false, false];
        for (let steps = 0; !(peers[0].log.includes('gone') && peers[1].log.includes('gone')); steps++) {
          assert.ok(steps < 200_000, 'it does not end');
          assert.ok(timers.step(), 'nothing is left to happen');
          for (const [side, peer] of peers.entries()) {
            const { connection } = peer;
            if (!peer.log.includes('established') || !connection) continue;
            const bytes = waiting[side]?.shift();
            if (bytes) connection.write(bytes);
            else if (!done[side]) {
              done[side] = true;
              connection.end();
            }
            if (steps % 3 === 0) peer.take(peer.held);
          }
        }
        for (const [side, peer] of peers.entries()) {
          const other = concat(sent[1 - side] ?? []);
          assert.equal(Buffer.compare(concat(peer.received), other), 0, `what ${side} received`);
          assert.deepEqual(peer.log, ['established', 'peerEnded', 'ended', 'done', 'gone']);
        }
        assert.equal(timers.pending, 0, 'no timer is left');
      }),
      fuzz(150),
    );
  });

  const pair = (fate: () => Fate = () => smooth, limit = -1): { timers: ManualTimers; one: Peer; two: Peer } => {
    const timers = new ManualTimers();
    const one = new Peer(timers, fate, -1);
    const two = new Peer(timers, () => smooth, limit);
    connect(one, two, [100, 200]);
    timers.pass(10);
    return { timers, one, two };
  };

  it('repairs a single loss without waiting for the timer', () => {
    let sent = 0;
    const { timers, one, two } = pair(() => ({ ...smooth, lost: sent++ === 12 }));
    one.connection?.write(pattern(60_000, 1));
    timers.pass(100);
    assert.equal(two.receivedBytes, 60_000, 'below the least timeout of 200 ms');
  });

  it('sends large segments, whole multiples of the MSS', () => {
    const { timers, one } = pair();
    const lengths: number[] = [];
    one.onSegment = ({ payloadLength }) => void lengths.push(payloadLength);
    one.connection?.write(pattern(200_000, 1));
    timers.pass(100);
    assert.ok(Math.max(...lengths) > 60_000);
    assert.ok(lengths.length < 10, `${lengths.join()}`);
    assert.deepEqual(
      lengths.slice(0, -1).filter((length) => length % 1460 !== 0),
      [],
    );
  });

  it('stops for a reader that does not read, asks from time to time, and goes on when there is room', () => {
    const { timers, one, two } = pair(() => smooth, 10_000);
    one.connection?.write(pattern(50_000, 1));
    timers.pass(600_000);
    assert.equal(two.receivedBytes, 10_000);
    let segments = 0;
    one.onSegment = () => void segments++;
    timers.pass(600_000);
    assert.ok(segments > 2 && segments <= 20, `${segments} probes in ten minutes`);
    for (let i = 0; i < 100 && two.receivedBytes < 50_000; i++) {
      two.take(10_000);
      timers.pass(20);
    }
    assert.equal(two.receivedBytes, 50_000);
  });

  it('gives up on a peer that does not answer any more, whether it sends or listens', () => {
    for (const sends of [true, false]) {
      let cut = false;
      const { timers, one } = pair(() => ({ ...smooth, lost: cut }));
      cut = true;
      if (sends) one.connection?.write(pattern(10, 1));
      timers.pass(3_600_000);
      assert.deepEqual(one.log.slice(1), ['ended', 'timeout', 'gone']);
      assert.equal(one.connection?.state, 'CLOSED');
    }
  });

  it('keeps a silent connection whose peer is there', () => {
    const { timers, one, two } = pair();
    timers.pass(24 * 3_600_000);
    assert.deepEqual([one.connection?.state, two.connection?.state], ['ESTABLISHED', 'ESTABLISHED']);
  });

  it('is ended by a reset at the place it expects, and only there (RFC 5961)', () => {
    const { timers, one } = pair();
    const answers: Outgoing[] = [];
    one.onSegment = (segment) => void answers.push(segment);
    const reset = (seq: number): Segment => ({
      sourcePort: 0,
      destinationPort: 0,
      seq,
      ack: 0,
      flags: RST,
      window: 0,
      payload: none,
    });
    for (let i = 0; i < 100; i++) one.connection?.receive(reset(202 + i));
    assert.equal(one.connection?.state, 'ESTABLISHED');
    assert.ok(answers.length > 0 && answers.length <= 10, 'challenges, not many');
    timers.pass(5000);
    one.connection?.receive(reset(201));
    assert.deepEqual(one.log, ['established', 'ended', 'reset', 'gone']);
  });

  it('can be aborted at any time, and the peer hears of it', () => {
    const { timers, one, two } = pair();
    one.connection?.write(pattern(100_000, 1));
    one.connection?.abort();
    timers.pass(10);
    assert.deepEqual(one.log, ['established', 'ended', 'reset', 'gone']);
    assert.deepEqual(two.log, ['established', 'ended', 'reset', 'gone']);
  });

  it('tells a refused peer by a reset', () => {
    const timers = new ManualTimers();
    const one = new Peer(timers, () => smooth, -1);
    one.connection = TcpConnection.open(one.options(7)).start();
    one.connection.receive({
      sourcePort: 0,
      destinationPort: 0,
      seq: 0,
      ack: 8,
      flags: RST | ACK,
      window: 0,
      payload: none,
    });
    assert.deepEqual(one.log, ['ended', 'reset', 'gone']);
    assert.equal(timers.pending <= 1, true);
  });

  it('survives any segments at all', () => {
    const segment = fc.record({
      seq: fc.integer({ min: -70_000, max: 70_000 }),
      ack: fc.integer({ min: -70_000, max: 70_000 }),
      flags: fc.oneof(fc.constantFrom(SYN, SYN | ACK, ACK, ACK | FIN, RST, RST | ACK), fc.nat(0xff)),
      window: fc.nat(0xffff),
      length: fc.oneof(fc.constant(0), fc.nat(2000)),
      sack: fc.option(fc.array(fc.record({ start: fc.nat(0xffffffff), end: fc.nat(0xffffffff) }), { maxLength: 4 })),
      wait: fc.nat(300),
      write: fc.nat(3000),
    });
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 40 }), fc.boolean(), (segments, active) => {
        const timers = new ManualTimers();
        const peer = new Peer(timers, () => smooth, 20_000);
        const options = peer.options(1000);
        const syn: Segment = {
          sourcePort: 0,
          destinationPort: 0,
          seq: 5000,
          ack: 0,
          flags: SYN,
          window: 1000,
          payload: none,
          sackPermitted: true,
          windowScale: 3,
        };
        peer.connection = (active ? TcpConnection.open(options) : TcpConnection.accept(syn, options)).start();
        for (const { seq, ack, length, sack, wait, write, ...rest } of segments) {
          const wrap = (n: number): number => n >>> 0;
          peer.connection.receive({
            sourcePort: 0,
            destinationPort: 0,
            seq: wrap(5000 + seq),
            ack: wrap(1001 + ack),
            payload: new Uint8Array(length),
            sack: sack ?? undefined,
            ...rest,
          });
          timers.pass(wait);
          if (peer.connection.buffered < 100_000) peer.connection.write(new Uint8Array(write));
          if (wait % 5 === 0) peer.take(1000);
        }
        timers.pass(48 * 3_600_000);
        assert.equal(peer.connection.state, 'CLOSED', 'nobody answers, so it ends');
        assert.equal(timers.pending, 0);
      }),
      fuzz(300),
    );
  });
});

const none = new Uint8Array(0);
