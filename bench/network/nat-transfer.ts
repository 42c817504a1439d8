/** A guest's TCP through the NAT to a server of the host and back, without a guest: its half is the same TCP, in the same thread. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { LinkEnd } from '../../src/dom0/net/link.ts';
import { Nat } from '../../src/dom0/net/nat/nat.ts';
import { parseSubnet } from '../../src/dom0/net/packet/addresses.ts';
import type { User } from '../../src/dom0/net/tcp/connection.ts';
import { NetGuest } from '../../src/dom0/testing/net-guest.ts';
import { nodeNetwork } from '../../src/host/node/net/network-host.ts';

const CHUNK = Buffer.alloc(64 * 1024, 1);
const gateway = '10.0.2.2';

const silent: User = {
  established: () => undefined,
  data: () => undefined,
  room: () => 3_000_000,
  peerEnded: () => undefined,
  drained: () => undefined,
  ended: () => undefined,
  gone: () => undefined,
};

/** Megabytes a second of processor time, of all threads and both ends: servers, NAT and the guest's half. */
export async function transfer(direction: 'download' | 'upload', megabytes: number): Promise<number> {
  const subnet = parseSubnet('10.0.2.0/24');
  if (subnet === undefined) throw new Error('not a subnet');
  const [one, two] = LinkEnd.pair();
  const config = { subnet, allowHost: true, restricted: false, dhcp: true, mtu: 1500 };
  const nat = new Nat(one, config, nodeNetwork, { reservedAddress: () => undefined, macsOf: () => [] });
  const guest = new NetGuest(two, nodeNetwork.timers, '00:16:3e:00:00:01', '10.0.2.15', nat.addresses.mac);
  const bytes = megabytes * 1e6;
  const done = Promise.withResolvers<void>();
  const server =
    direction === 'download' ? createServer((socket) => send(socket, bytes)) : createServer(sink(bytes, done.resolve));
  const port = await listening(server);
  const before = process.cpuUsage();
  if (direction === 'download') guest.connect(gateway, port, 3000, { ...silent, peerEnded: done.resolve });
  else upload(guest, port, bytes);
  await done.promise;
  const { user, system } = process.cpuUsage(before);
  nat.close();
  server.close();
  return bytes / (user + system);
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function send(socket: Socket, bytes: number): void {
  socket.on('error', () => undefined);
  let left = bytes;
  const more = (): void => {
    for (; left > 0; left -= CHUNK.length) {
      if (socket.write(CHUNK)) continue;
      left -= CHUNK.length;
      socket.once('drain', more);
      return;
    }
    socket.end();
  };
  more();
}

function sink(bytes: number, done: () => void): (socket: Socket) => void {
  return (socket) => {
    let left = bytes;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      left -= data.length;
      if (left <= 0) done();
    });
  };
}

function upload(guest: NetGuest, port: number, bytes: number): void {
  let left = bytes;
  const more = (): void => {
    for (; left > 0 && connection.buffered < 1_000_000; left -= CHUNK.length) connection.write(CHUNK);
  };
  const connection = guest.connect(gateway, port, 3000, { ...silent, drained: () => more() });
  more();
}
