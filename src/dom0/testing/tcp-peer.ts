/** Two TCP connections with a bad network between them, and users that check what they get. */
import assert from 'node:assert/strict';
import {
  TcpConnection,
  type ConnectionOptions,
  type EndReason,
  type Outgoing,
  type User,
} from '../net/tcp/connection.ts';
import { parseSegment, SYN, writeHeader, type Segment } from '../net/tcp/segment.ts';
import type { ManualTimers } from './manual-timers.ts';

/** What happens to a segment on its way. */
export interface Fate {
  readonly lost: boolean;
  readonly twice: boolean;
  /** Milliseconds. */
  readonly delay: number;
  /** The wire has no room for it now. */
  readonly refused: boolean;
}

export const smooth: Fate = { lost: false, twice: false, delay: 1, refused: false };

export class Peer implements User {
  connection: TcpConnection | undefined;
  readonly received: Uint8Array[] = [];
  readonly log: string[] = [];
  receivedBytes = 0;
  /** What is not taken from the user's hands; -1: takes all. */
  limit: number;
  held = 0;
  onSegment: ((segment: Outgoing) => void) | undefined;
  readonly #timers: ManualTimers;
  readonly #fate: () => Fate;
  /** Where what this one sends arrives. */
  deliver: (segment: Segment) => void = () => undefined;

  constructor(timers: ManualTimers, fate: () => Fate, limit: number) {
    this.#timers = timers;
    this.#fate = fate;
    this.limit = limit;
  }

  options(iss: number, mss = 1460, largest = 65_000): ConnectionOptions {
    return {
      wire: { transmit: (segment) => this.#transmit(segment) },
      timers: this.#timers,
      user: this,
      iss,
      mss,
      largest,
    };
  }

  /** As the real wire: a large segment is cut, and each piece has a fate of its own. */
  #transmit(out: Outgoing): boolean {
    this.onSegment?.(out);
    const bytes = concat(out.payload);
    assert.equal(bytes.length, out.payloadLength);
    for (let at = 0; at === 0 || at < bytes.length; at += out.mss) {
      const fate = this.#fate();
      if (at === 0 && fate.refused) {
        this.#timers.after(2, () => this.connection?.resume());
        return false;
      }
      const last = at + out.mss >= bytes.length;
      const segment = onTheWire(
        { ...out, seq: (out.seq + at) >>> 0, flags: last ? out.flags : out.flags & ~9 },
        bytes.subarray(at, at + out.mss),
      );
      if (fate.lost) continue;
      this.#timers.after(fate.delay, () => this.deliver(segment));
      if (fate.twice) this.#timers.after(fate.delay * 2 + 1, () => this.deliver(segment));
    }
    return true;
  }

  established(): void {
    this.log.push('established');
  }
  data(bytes: Uint8Array): void {
    assert.ok(!this.log.includes('peerEnded') && !this.log.includes('ended'));
    this.received.push(bytes.slice());
    this.receivedBytes += bytes.length;
    this.held += bytes.length;
    assert.ok(this.limit < 0 || this.held <= this.limit, 'more than there was room for');
  }
  room(): number {
    return this.limit < 0 ? 500_000 : this.limit - this.held;
  }
  /** The user has dealt with so much. */
  take(count: number): void {
    this.held = Math.max(this.held - count, 0);
    this.connection?.roomy();
  }
  peerEnded(): void {
    this.log.push('peerEnded');
  }
  drained(): void {
    // Tests look at `buffered`.
  }
  ended(reason: EndReason): void {
    this.log.push('ended', reason);
  }
  gone(): void {
    this.log.push('gone');
  }
}

/** Header and options through bytes and back, as on a real wire. */
function onTheWire(out: Outgoing, payload: Uint8Array): Segment {
  const bytes = new Uint8Array(60);
  const length = writeHeader(bytes, 0, { ...out, sourcePort: 1, destinationPort: 2 }, out.options);
  return parseSegment(bytes, 0, length, payload);
}

export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}

/** The first opens, the second accepts. */
export function connect(
  one: Peer,
  two: Peer,
  iss: readonly [number, number],
  mss: readonly [number, number] = [1460, 1460],
): void {
  one.deliver = (segment) => {
    if (two.connection) two.connection.receive(segment);
    else if (segment.flags === SYN) {
      two.connection = TcpConnection.accept(segment, two.options(iss[1], mss[1])).start();
    }
  };
  two.deliver = (segment) => one.connection?.receive(segment);
  one.connection = TcpConnection.open(one.options(iss[0], mss[0])).start();
}
