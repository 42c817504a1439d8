/** All TCP connections of a bridge's guests to the host's side and back. */
import { macKey } from '../packet/addresses.ts';
import { u32 } from '../packet/bytes.ts';
import type { IpPacket } from '../packet/ip.ts';
import { ACK, headerLengthAt, parseSegment, RST, SYN, type Segment } from '../tcp/segment.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { Timers } from '../timers.ts';
import type { HostAddress, HostSockets, HostStream, StreamHandlers } from './host-sockets.ts';
import type { Station } from './station.ts';
import { refuse, TcpFlow, type FlowEnds, type FlowGlue } from './tcp-flow.ts';

export interface TcpFlowsOptions {
  readonly station: Station;
  readonly timers: Timers;
  readonly sockets: Pick<HostSockets, 'connectTcp'>;
  readonly random32: () => number;
  /** Where a guest's connection leads; undefined when it may not. */
  readonly destination: (ends: FlowEnds) => HostAddress | undefined;
  readonly unreachable: (ends: FlowEnds) => void;
}

const MOST_FLOWS = 4096;
/** Of one guest. */
const MOST_OF_ONE = 2048;
/** What all flows of a bridge together may hold for a direction, and what one may hold at least and at most. */
const MEMORY = 64 * 1024 * 1024;
const LEAST_SHARE = 32 * 1024;
const MOST_SHARE = 1024 * 1024;
/** A flow that one side has closed and on which nothing happens ends after this. */
const HALF_CLOSED_MS = 10 * 60_000;
const SWEEP_MS = 30_000;
const FIRST_PORT = 49_152;
/** Resets to segments of nobody, a second. */
const REFUSALS = 200;

export class TcpFlows {
  readonly #o: TcpFlowsOptions;
  readonly #glue: FlowGlue;
  readonly #flows = new Map<string, TcpFlow>();
  /** Those with a stream too, also after their addresses are free. */
  readonly #alive = new Set<TcpFlow>();
  readonly #counts = new Map<number, number>();
  readonly #refusals: TokenBucket;
  #nextPort = FIRST_PORT;
  #cancelSweep: (() => void) | undefined;

  constructor(options: TcpFlowsOptions) {
    this.#o = options;
    this.#refusals = new TokenBucket(options.timers, REFUSALS, REFUSALS);
    this.#glue = {
      station: options.station,
      timers: options.timers,
      random32: options.random32,
      share: () => Math.min(Math.max(Math.floor(MEMORY / Math.max(this.#alive.size, 1)), LEAST_SHARE), MOST_SHARE),
      gone: (flow) => this.#gone(flow),
      over: (flow) => this.#over(flow),
      unreachable: (flow) => options.unreachable(flow.ends),
    };
  }

  get size(): number {
    return this.#alive.size;
  }

  receive(packet: IpPacket, mac: Uint8Array): void {
    const { payload, source, destination } = packet;
    const length = headerLengthAt(payload, 0);
    if (length === undefined) return;
    const segment = parseSegment(payload, 0, length, payload.subarray(length));
    const key = keyOf(source, segment.sourcePort, destination, segment.destinationPort);
    const flow = this.#flows.get(key);
    const opens = (segment.flags & (SYN | ACK | RST)) === SYN;
    if (flow && !(opens && flow.connection?.replaceableBy(segment))) {
      // Another guest's frames with this guest's address are not taken for its own.
      if (macKey(flow.ends.mac) === macKey(mac)) flow.receive(segment);
      return;
    }
    flow?.abort();
    const ends: FlowEnds = {
      mac,
      guest: source,
      guestPort: segment.sourcePort,
      remote: destination,
      remotePort: segment.destinationPort,
    };
    const to = opens ? this.#o.destination(ends) : undefined;
    if (to) this.#open(ends, segment, to);
    else if (this.#refusals.take()) refuse(this.#o.station, ends, segment);
  }

  #open(ends: FlowEnds, syn: Segment, to: HostAddress): void {
    // No answer: the guest tries again, and there may be room then.
    if (ends.remotePort === 0 || !this.#hasRoomFor(ends.mac)) return;
    const flow = TcpFlow.fromGuest(ends, syn, this.#glue, (handlers) => this.#o.sockets.connectTcp(to, handlers));
    this.#add(flow);
  }

  /** A stream from outside for a guest's port, seen by the guest as coming from `from`. Undefined: no room. */
  forward(
    ends: Omit<FlowEnds, 'remotePort'>,
    stream: HostStream,
  ): { handlers: StreamHandlers; open: () => void } | undefined {
    const remotePort = this.#hasRoomFor(ends.mac) ? this.#freePort(ends) : undefined;
    if (remotePort === undefined) return undefined;
    const { flow, handlers } = TcpFlow.toGuest({ ...ends, remotePort }, stream, this.#glue);
    this.#add(flow);
    return { handlers, open: () => flow.open() };
  }

  #freePort({ guest, guestPort, remote }: Omit<FlowEnds, 'remotePort'>): number | undefined {
    for (let i = FIRST_PORT; i <= 0xffff; i++) {
      const port = this.#nextPort;
      this.#nextPort = port === 0xffff ? FIRST_PORT : port + 1;
      if (!this.#flows.has(keyOf(guest, guestPort, remote, port))) return port;
    }
    return undefined;
  }

  #hasRoomFor(mac: Uint8Array): boolean {
    const own = macKey(mac);
    if (this.#alive.size < MOST_FLOWS && (this.#counts.get(own) ?? 0) < MOST_OF_ONE) return true;
    // Connections that only wait for stragglers give way, the guest's own first.
    let any: TcpFlow | undefined;
    for (const flow of this.#flows.values()) {
      if (!flow.replaceable) continue;
      any ??= flow;
      if (macKey(flow.ends.mac) !== own) continue;
      any = flow;
      break;
    }
    any?.abort();
    return this.#alive.size < MOST_FLOWS && (this.#counts.get(own) ?? 0) < MOST_OF_ONE;
  }

  #add(flow: TcpFlow): void {
    this.#flows.set(flowKey(flow), flow);
    this.#alive.add(flow);
    this.#count(flow, 1);
    this.#cancelSweep ??= this.#o.timers.after(SWEEP_MS, () => this.#sweep());
  }

  #count({ ends }: TcpFlow, change: number): void {
    const key = macKey(ends.mac);
    const count = (this.#counts.get(key) ?? 0) + change;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }

  #gone(flow: TcpFlow): void {
    if (this.#flows.get(flowKey(flow)) === flow) this.#flows.delete(flowKey(flow));
  }

  #over(flow: TcpFlow): void {
    if (this.#alive.delete(flow)) this.#count(flow, -1);
  }

  #sweep(): void {
    this.#cancelSweep = undefined;
    const now = this.#o.timers.now();
    for (const flow of [...this.#flows.values()])
      if (flow.halfClosed && now - flow.active > HALF_CLOSED_MS) flow.abort();
    if (this.#alive.size > 0) this.#cancelSweep = this.#o.timers.after(SWEEP_MS, () => this.#sweep());
  }

  /** The guest with this ethernet address has gone. */
  forget(mac: Uint8Array): void {
    for (const flow of [...this.#flows.values()]) if (macKey(flow.ends.mac) === macKey(mac)) flow.abort();
  }

  close(): void {
    this.#cancelSweep?.();
    for (const flow of [...this.#flows.values()]) flow.abort();
  }
}

function flowKey({ ends }: TcpFlow): string {
  return keyOf(ends.guest, ends.guestPort, ends.remote, ends.remotePort);
}

function keyOf(guest: Uint8Array, guestPort: number, remote: Uint8Array, remotePort: number): string {
  const ports = guestPort * 0x10000 + remotePort;
  if (guest.length === 4) return `${u32(guest, 0)} ${u32(remote, 0)} ${ports}`;
  return `${guest.join('.')} ${remote.join('.')} ${ports}`;
}
