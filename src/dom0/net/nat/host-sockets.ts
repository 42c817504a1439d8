/** What the NAT needs of the host: its sockets. src/host/node has them on Node. Addresses are text, as everywhere in host interfaces. */

export type StreamEnd =
  /** Both directions ended in order. */
  | 'done'
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'reset'
  /** Anything else: no descriptors left, no permission. */
  | 'failed';

/** What happens to a stream. Nothing is called before the function that made the stream has returned. */
export interface StreamHandlers {
  /** Only for those that were opened here. */
  connected(): void;
  /** The bytes are the receiver's. */
  data(bytes: Uint8Array): void;
  /** The other side sends no more. */
  peerEnded(): void;
  /** `pending` has become less. */
  drained(): void;
  /** Once, and nothing after it. */
  closed(how: StreamEnd): void;
}

export interface HostStream {
  /** Bytes that were written and that the system has not taken yet. */
  readonly pending: number;
  /** The bytes must not change any more. */
  write(bytes: Uint8Array): void;
  /** Sends no more after what was written. */
  end(): void;
  /** Ends both directions at once, with a reset where the system can. */
  reset(): void;
  pause(): void;
  resume(): void;
}

export interface HostAddress {
  readonly address: string;
  readonly port: number;
}

export interface HostDatagrams {
  /** What cannot be sent is lost. */
  send(bytes: Uint8Array, to: HostAddress): void;
  close(): void;
}

export interface DatagramHandlers {
  received(bytes: Uint8Array, from: HostAddress): void;
  /** Somebody refused a datagram, or the socket is broken; it stays open. */
  failed(how: StreamEnd): void;
}

export interface HostListener {
  /** Where it really listens; a port of 0 was replaced. */
  readonly at: HostAddress;
  close(): void;
}

export interface HostSockets {
  connectTcp(to: HostAddress, handlers: StreamHandlers): HostStream;
  /** Rejects with an Error whose message a person can read. A stream comes paused. */
  listenTcp(at: HostAddress, accept: (stream: HostStream, from: HostAddress) => StreamHandlers): Promise<HostListener>;
  openUdp(family: 4 | 6, handlers: DatagramHandlers): HostDatagrams;
  /** As `listenTcp`. */
  listenUdp(at: HostAddress, handlers: DatagramHandlers): Promise<HostDatagrams & HostListener>;
  /** The resolvers that the host uses, best first. */
  resolvers(): readonly HostAddress[];
  /** Addresses of the host that only it can reach, beside 127.0.0.0/8 and ::1. */
  loopbackAddresses(): readonly string[];
  /** Whether the host reaches the world by IPv6. */
  hasIpv6(): boolean;
}
