/**
 * One TCP connection of a guest, spliced to a stream of the host. What one side has not taken holds the other back: the guest by its window, the
 * host by not reading. Either side may open it, close its half, or break it, and the other sees the same.
 */
import { PROTOCOL_TCP } from '../packet/ethernet.ts';
import { partialChecksum } from '../packet/ip.ts';
import { put16 } from '../packet/bytes.ts';
import { TcpConnection, type ConnectionOptions, type Outgoing } from '../tcp/connection.ts';
import { ACK, RST, seqAdd, writeHeader, type Segment } from '../tcp/segment.ts';
import { maxFrameLength } from '../link.ts';
import type { HostStream, StreamEnd, StreamHandlers } from './host-sockets.ts';
import type { Station } from './station.ts';
import type { Timers } from '../timers.ts';

/** The two ends as the guest sees them. */
export interface FlowEnds {
  readonly mac: Uint8Array;
  readonly guest: Uint8Array;
  readonly guestPort: number;
  readonly remote: Uint8Array;
  readonly remotePort: number;
}

export interface FlowGlue {
  readonly station: Station;
  readonly timers: Timers;
  random32(): number;
  /** Bytes that this flow may hold for each direction now. */
  share(): number;
  /** The addresses are free. */
  gone(flow: TcpFlow): void;
  /** Nothing is left of it, on either side. */
  over(flow: TcpFlow): void;
  /** A guest's connection that the host could not make, where a reset would be wrong. */
  unreachable(flow: TcpFlow): void;
}

const CHECKSUM_AT = 16;
/** A stream that gives so much at once most likely has more. */
const FULL_READ = 64 * 1024;
const IP_AND_TCP_4 = 40;
const IP_AND_TCP_6 = 60;
/** Ethernet, IP, TCP with all its options. */
const MOST_HEADERS = 14 + 40 + 60;

export class TcpFlow {
  readonly ends: FlowEnds;
  readonly #glue: FlowGlue;
  connection: TcpConnection | undefined;
  #stream: HostStream | undefined;
  /** The guest's, until the host's stream is up. */
  #syn: Segment | undefined;
  #paused = false;
  #streamOver = false;
  #connectionGone = false;
  /** When anything last went through. */
  active: number;
  readonly #resume = (): void => this.connection?.resume();

  private constructor(ends: FlowEnds, glue: FlowGlue) {
    this.ends = ends;
    this.#glue = glue;
    this.active = glue.timers.now();
  }

  /** A guest wants to connect; `open` makes the stream. */
  static fromGuest(
    ends: FlowEnds,
    syn: Segment,
    glue: FlowGlue,
    open: (handlers: StreamHandlers) => HostStream,
  ): TcpFlow {
    const flow = new TcpFlow(ends, glue);
    flow.#syn = { ...syn, payload: new Uint8Array(0) };
    flow.#stream = open(flow.#handlers());
    return flow;
  }

  /** Somebody has connected to a forwarded port: `stream`, paused. */
  static toGuest(ends: FlowEnds, stream: HostStream, glue: FlowGlue): { flow: TcpFlow; handlers: StreamHandlers } {
    const flow = new TcpFlow(ends, glue);
    flow.#stream = stream;
    return { flow, handlers: flow.#handlers() };
  }

  /** Sends the SYN of a flow that was made by `toGuest`. */
  open(): void {
    if (this.#streamOver) return;
    this.connection = TcpConnection.open(this.#options());
    this.connection.start();
  }

  receive(segment: Segment): void {
    this.active = this.#glue.timers.now();
    if (this.connection) this.connection.receive(segment);
    else if (this.#syn && segment.flags & RST && segment.seq === seqAdd(this.#syn.seq, 1)) this.abort();
  }

  get replaceable(): boolean {
    return this.connection?.state === 'TIME-WAIT';
  }

  /** One side has ended, and the other has not. */
  get halfClosed(): boolean {
    const state = this.connection?.state;
    return state === 'FIN-WAIT-2' || state === 'CLOSE-WAIT';
  }

  abort(): void {
    this.#syn = undefined;
    if (!this.#streamOver) this.#stream?.reset();
    if (this.connection) this.connection.abort();
    else this.#gone();
  }

  #options(): ConnectionOptions {
    const six = this.ends.guest.length === 16;
    return {
      wire: { transmit: (segment) => this.#transmit(segment) },
      timers: this.#glue.timers,
      user: {
        established: () => this.#stream?.resume(),
        data: (bytes) => {
          if (!this.#streamOver) this.#stream?.write(bytes);
        },
        room: () => this.#glue.share() - (this.#stream?.pending ?? 0),
        peerEnded: () => {
          if (!this.#streamOver) this.#stream?.end();
        },
        drained: () => this.#drained(),
        ended: (reason) => {
          if (reason !== 'done' && !this.#streamOver) this.#stream?.reset();
        },
        gone: () => this.#gone(),
      },
      iss: this.#glue.random32(),
      mss: this.#glue.station.mtu - (six ? IP_AND_TCP_6 : IP_AND_TCP_4),
      largest: maxFrameLength - MOST_HEADERS,
    };
  }

  #handlers(): StreamHandlers {
    return {
      connected: () => {
        const syn = this.#syn;
        this.#syn = undefined;
        if (syn === undefined) return;
        this.connection = TcpConnection.accept(syn, this.#options());
        this.connection.start();
      },
      data: (bytes) => {
        this.active = this.#glue.timers.now();
        this.connection?.write(bytes, bytes.length >= FULL_READ);
        if (this.#paused || (this.connection?.buffered ?? 0) < this.#glue.share()) return;
        this.#paused = true;
        this.#stream?.pause();
      },
      peerEnded: () => this.connection?.end(),
      drained: () => this.connection?.roomy(),
      closed: (how) => this.#streamClosed(how),
    };
  }

  #drained(): void {
    this.active = this.#glue.timers.now();
    if (!this.#paused || (this.connection?.buffered ?? 0) >= this.#glue.share() / 2) return;
    this.#paused = false;
    this.#stream?.resume();
  }

  #streamClosed(how: StreamEnd): void {
    this.#streamOver = true;
    const syn = this.#syn;
    this.#syn = undefined;
    if (syn) {
      if (how === 'unreachable' || how === 'timeout') this.#glue.unreachable(this);
      else refuse(this.#glue.station, this.ends, syn);
      this.#gone();
    } else if (this.connection === undefined) {
      this.#gone();
    } else if (how === 'done') {
      this.connection.end();
    } else {
      this.connection.abort();
    }
    this.#over();
  }

  #gone(): void {
    if (this.#connectionGone) return;
    this.#connectionGone = true;
    this.#glue.station.forget(this.#resume);
    this.#glue.gone(this);
    this.#over();
  }

  #over(): void {
    if (this.#connectionGone && this.#streamOver) this.#glue.over(this);
  }

  #transmit(segment: Outgoing): boolean {
    const taken = sendSegment(this.#glue.station, this.ends, segment);
    // A wire that is full for a last word has nobody waiting for room.
    if (!taken && this.connection?.state !== 'CLOSED') this.#glue.station.whenRoom(this.#resume);
    return taken;
  }
}

function sendSegment(station: Station, ends: FlowEnds, segment: Outgoing): boolean {
  const { seq, ack, flags, window, options, payload, payloadLength, mss } = segment;
  const bytes = new Uint8Array(20 + options.length);
  writeHeader(
    bytes,
    0,
    { sourcePort: ends.remotePort, destinationPort: ends.guestPort, seq, ack, flags, window },
    options,
  );
  const header = {
    source: ends.remote,
    destination: ends.guest,
    protocol: PROTOCOL_TCP,
    length: bytes.length + payloadLength,
  };
  put16(bytes, CHECKSUM_AT, partialChecksum(header));
  return station.send(ends.mac, header, bytes, payload, {
    checksumAt: CHECKSUM_AT,
    segment: payloadLength > mss ? mss : undefined,
  });
}

/** Answers a segment that belongs to no connection (RFC 9293, section 3.10.7.1). */
export function refuse(station: Station, ends: FlowEnds, segment: Segment): void {
  if (segment.flags & RST) return;
  const length = segment.payload.length + (segment.flags & 2 ? 1 : 0) + (segment.flags & 1);
  const acknowledged = (segment.flags & ACK) !== 0;
  sendSegment(station, ends, {
    seq: acknowledged ? segment.ack : 0,
    ack: acknowledged ? 0 : seqAdd(segment.seq, length),
    flags: acknowledged ? RST : RST | ACK,
    window: 0,
    options: new Uint8Array(0),
    payload: [],
    payloadLength: 0,
    mss: 0,
  });
}
