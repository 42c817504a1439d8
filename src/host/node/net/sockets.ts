/** The host's sockets for the NAT, on Node: node:net, node:dgram, node:dns. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { connect, createServer, isIPv6, type AddressInfo, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type {
  DatagramHandlers,
  HostAddress,
  HostDatagrams,
  HostListener,
  HostSockets,
  HostStream,
  StreamEnd,
  StreamHandlers,
} from '../../../dom0/net/nat/host-sockets.ts';

/** A peer that vanished is found out after this time without a word from it. */
const KEEP_ALIVE_MS = 15 * 60_000;
/** Streams that wait to be accepted. */
const BACKLOG = 128;

const ends: Readonly<Record<string, StreamEnd>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  ETIMEDOUT: 'timeout',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
};

function endOf(error: Error): StreamEnd {
  const { code } = error as NodeJS.ErrnoException;
  return (code === undefined ? undefined : ends[code]) ?? 'failed';
}

class Stream implements HostStream {
  readonly #socket: Socket;
  readonly #written: () => void;

  constructor(socket: Socket, handlers: () => StreamHandlers) {
    this.#socket = socket;
    let end: StreamEnd = 'done';
    this.#written = () => handlers().drained();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('connect', () => handlers().connected());
    socket.on('data', (bytes: Buffer) => handlers().data(bytes));
    socket.on('end', () => handlers().peerEnded());
    socket.on('error', (error) => (end = endOf(error)));
    socket.on('close', () => handlers().closed(end));
  }

  get pending(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes, this.#written);
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

const addressOf = ({ address, port }: AddressInfo): HostAddress => ({ address, port });

function datagrams(socket: DatagramSocket, handlers: DatagramHandlers): HostDatagrams {
  let open = true;
  socket.on('message', (bytes, { address, port }) => handlers.received(bytes, { address: withoutZone(address), port }));
  socket.on('error', (error) => handlers.failed(endOf(error)));
  return {
    send(bytes, { address, port }) {
      if (!open || port === 0) return;
      socket.send(bytes, port, address, (error) => {
        if (error && open) handlers.failed(endOf(error));
      });
    },
    close() {
      if (!open) return;
      open = false;
      socket.close();
    },
  };
}

function withoutZone(address: string): string {
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

export const nodeSockets: HostSockets = {
  connectTcp({ address, port }, handlers) {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    return new Stream(socket, () => handlers);
  },

  listenTcp({ address, port }, accept) {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const { remoteAddress, remotePort } = socket;
      if (remoteAddress === undefined || remotePort === undefined) {
        socket.destroy();
        return;
      }
      const stream = new Stream(socket, () => handlers);
      const handlers = accept(stream, { address: withoutZone(remoteAddress), port: remotePort });
    });
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen('tcp', address, port, error)));
      server.listen({ host: address, port, backlog: BACKLOG }, () => {
        server.removeAllListeners('error');
        // Running out of descriptors ends no listener; who connects is turned away by the system.
        server.on('error', () => undefined);
        resolve({ at: addressOf(server.address() as AddressInfo), close: () => void server.close() });
      });
    });
  },

  openUdp(family, handlers) {
    return datagrams(createSocket(family === 4 ? 'udp4' : 'udp6'), handlers);
  },

  listenUdp({ address, port }, handlers) {
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
    return new Promise<HostDatagrams & HostListener>((resolve, reject) => {
      socket.once('error', (error) => reject(cannotListen('udp', address, port, error)));
      socket.bind({ address, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        resolve({ ...datagrams(socket, handlers), at: addressOf(socket.address()) });
      });
    });
  },

  resolvers() {
    return getServers().flatMap((text) => {
      const [, six, five, four] = /^(?:\[([^\]]+)\]:([0-9]+)|([^:]+(?::[0-9]+)?)|.*)$/.exec(text) ?? [];
      if (six !== undefined) return [{ address: six, port: Number(five) }];
      if (four === undefined) return isIPv6(text) ? [{ address: text, port: 53 }] : [];
      const [address = '', port = '53'] = four.split(':');
      return [{ address, port: Number(port) }];
    });
  },

  loopbackAddresses() {
    return interfaceAddresses()
      .filter(({ internal }) => internal)
      .map(({ address }) => withoutZone(address));
  },

  hasIpv6() {
    // A global or a unique local address; link-local ones lead nowhere.
    return interfaceAddresses().some(
      ({ family, internal, address }) => family === 'IPv6' && !internal && !/^fe[89ab]/i.test(address),
    );
  },
};

function interfaceAddresses() {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
}

function cannotListen(protocol: string, address: string, port: number, error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  const why =
    code === 'EADDRINUSE'
      ? 'somebody else listens there'
      : code === 'EACCES'
        ? 'permission denied'
        : code === 'EADDRNOTAVAIL'
          ? 'the host has no such address'
          : error.message;
  return new Error(`cannot listen at ${protocol} ${address} port ${port}: ${why}`, { cause: error });
}
