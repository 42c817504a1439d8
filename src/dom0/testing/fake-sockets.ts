/** A world for the NAT to reach: services by address, in memory. Everything happens when the timers are stepped. */
import type {
  DatagramHandlers,
  HostAddress,
  HostSockets,
  HostStream,
  StreamEnd,
  StreamHandlers,
} from '../net/nat/host-sockets.ts';
import type { Timers } from '../net/timers.ts';

/** The far end of a stream, as a service has it. */
export class FakeStream implements HostStream {
  readonly handlers: StreamHandlers;
  readonly #timers: Timers;
  readonly written: Uint8Array[] = [];
  bytes = 0;
  pending = 0;
  ended = false;
  paused = false;
  over = false;
  /** The service takes what is written. */
  reading = true;
  readonly #queue: (() => void)[] = [];
  onData: ((bytes: Uint8Array) => void) | undefined;
  onEnd: (() => void) | undefined;

  constructor(handlers: StreamHandlers, timers: Timers) {
    this.handlers = handlers;
    this.#timers = timers;
  }

  #later(task: () => void): void {
    this.#timers.after(0, () => {
      if (!this.over) task();
    });
  }

  write(bytes: Uint8Array): void {
    this.pending += bytes.length;
    this.#later(() => {
      this.written.push(bytes);
      if (this.reading) this.read();
    });
  }

  /** The service reads all that has been written so far. */
  read(): void {
    for (const bytes of this.written.splice(0)) {
      this.pending -= bytes.length;
      this.bytes += bytes.length;
      this.onData?.(bytes);
      this.handlers.drained();
    }
  }

  end(): void {
    this.#later(() => {
      this.ended = true;
      this.onEnd?.();
    });
  }

  reset(): void {
    this.finish('reset');
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#later(() => this.#flow());
  }

  /** What the service does is seen in order, and not while the stream is paused. */
  #flow(): void {
    while (!this.paused && !this.over) {
      const task = this.#queue.shift();
      if (task === undefined) return;
      task();
    }
  }

  #enqueue(task: () => void): void {
    this.#queue.push(task);
    this.#later(() => this.#flow());
  }

  /** The service sends. */
  send(bytes: Uint8Array): void {
    this.#enqueue(() => this.handlers.data(bytes));
  }

  sendEnd(): void {
    this.#enqueue(() => this.handlers.peerEnded());
  }

  finish(how: StreamEnd): void {
    if (this.over) return;
    if (how === 'done') {
      this.#enqueue(() => this.#close(how));
    } else {
      this.over = true;
      this.#timers.after(0, () => this.handlers.closed(how));
    }
  }

  #close(how: StreamEnd): void {
    this.over = true;
    this.handlers.closed(how);
  }
}

export class FakeSockets implements HostSockets {
  readonly #timers: Timers;
  /** `address port` → what happens to a stream that gets there; none there: refused. */
  readonly services = new Map<string, (stream: FakeStream) => void>();
  readonly datagramServices = new Map<string, (data: Uint8Array, answer: (data: Uint8Array) => void) => void>();
  readonly listening = new Map<string, (stream: HostStream, from: HostAddress) => StreamHandlers>();
  readonly streams: FakeStream[] = [];
  /** Datagram sockets that are open: what was sent where, and how to answer. */
  readonly udp: {
    readonly sent: { readonly data: Uint8Array; readonly to: HostAddress }[];
    readonly handlers: DatagramHandlers;
    open: boolean;
  }[] = [];
  nameServers: readonly HostAddress[] = [{ address: '192.0.2.53', port: 53 }];
  connects: string[] = [];

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  connectTcp(to: HostAddress, handlers: StreamHandlers): HostStream {
    const stream = new FakeStream(handlers, this.#timers);
    this.streams.push(stream);
    const name = `${to.address} ${to.port}`;
    this.connects.push(name);
    const service = this.services.get(name);
    this.#timers.after(1, () => {
      if (stream.over) return;
      if (service === undefined) {
        stream.finish('refused');
        return;
      }
      handlers.connected();
      service(stream);
    });
    return stream;
  }

  listenTcp(
    at: HostAddress,
    accept: (stream: HostStream, from: HostAddress) => StreamHandlers,
  ): Promise<{ at: HostAddress; close(): void }> {
    const name = `${at.address} ${at.port}`;
    if (this.listening.has(name)) return Promise.reject(new Error(`somebody else listens at ${name}`));
    this.listening.set(name, accept);
    return Promise.resolve({ at, close: () => void this.listening.delete(name) });
  }

  /** Somebody connects to where the NAT listens. */
  connectIn(name: string): FakeStream | undefined {
    const accept = this.listening.get(name);
    if (accept === undefined) return undefined;
    const late: StreamHandlers = {
      connected: () => handlers.connected(),
      data: (bytes) => handlers.data(bytes),
      peerEnded: () => handlers.peerEnded(),
      drained: () => handlers.drained(),
      closed: (how) => handlers.closed(how),
    };
    const stream = new FakeStream(late, this.#timers);
    stream.paused = true;
    this.streams.push(stream);
    const handlers = accept(stream, { address: '198.51.100.9', port: 4000 });
    return stream;
  }

  openUdp(
    _family: 4 | 6,
    handlers: DatagramHandlers,
  ): { send(bytes: Uint8Array, to: HostAddress): void; close(): void } {
    const socket = { sent: [] as { data: Uint8Array; to: HostAddress }[], handlers, open: true };
    this.udp.push(socket);
    return {
      send: (data, to) => {
        socket.sent.push({ data: data.slice(), to });
        const service = this.datagramServices.get(`${to.address} ${to.port}`);
        this.#timers.after(1, () => {
          service?.(data, (answer) => {
            if (socket.open) handlers.received(answer, to);
          });
        });
      },
      close: () => {
        socket.open = false;
      },
    };
  }

  listenUdp(
    at: HostAddress,
    handlers: DatagramHandlers,
  ): Promise<{ at: HostAddress; send(bytes: Uint8Array, to: HostAddress): void; close(): void }> {
    return Promise.resolve({ at, ...this.openUdp(4, handlers) });
  }

  resolvers(): readonly HostAddress[] {
    return this.nameServers;
  }

  loopbackAddresses(): readonly string[] {
    return ['127.0.0.1', '::1', '10.255.255.254'];
  }

  hasIpv6(): boolean {
    return true;
  }
}
