/** What a connection asks of who owns it. */
import type { Timers } from '../timers.ts';

export interface Outgoing {
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly options: Uint8Array;
  readonly payload: readonly Uint8Array[];
  readonly payloadLength: number;
  /** A longer payload has to be cut into segments of this length. */
  readonly mss: number;
}

export interface Wire {
  /** False: no room. The owner calls `resume` when there is. */
  transmit(segment: Outgoing): boolean;
}

export type EndReason = 'done' | 'reset' | 'timeout';

export interface User {
  established(): void;
  /** In order. The bytes are the user's now. */
  data(bytes: Uint8Array): void;
  /** How many bytes more could be taken; asked for every window that is told. */
  room(): number;
  peerEnded(): void;
  /** Something that was sent is acknowledged. */
  drained(): void;
  ended(reason: EndReason): void;
  gone(): void;
}

export interface ConnectionOptions {
  readonly wire: Wire;
  readonly timers: Timers;
  readonly user: User;
  /** Initial sequence number (RFC 6528 says how to choose). */
  readonly iss: number;
  /** Largest payload of a segment either way, without options. */
  readonly mss: number;
  /** Largest payload that the wire takes at once. */
  readonly largest: number;
}
