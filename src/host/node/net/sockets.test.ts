/** Node's sockets behind the NAT: a guest talks to a real HTTP server, and real clients to a guest. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Nat } from '../../../dom0/net/nat/nat.ts';
import type { User } from '../../../dom0/net/tcp/connection.ts';
import { LinkEnd } from '../../../dom0/net/link.ts';
import { parseSubnet } from '../../../dom0/net/packet/addresses.ts';
import { NetGuest } from '../../../dom0/testing/net-guest.ts';
import { nodeSockets } from './sockets.ts';
import { nodeTimers } from './timers.ts';

const page = Buffer.alloc(5_000_000, 'xenolith ');

function collector(): User & { readonly text: Promise<string>; readonly ends: string[] } {
  const done = Promise.withResolvers<string>();
  const pieces: Uint8Array[] = [];
  const ends: string[] = [];
  return {
    text: done.promise,
    ends,
    established: () => void ends.push('established'),
    data: (bytes) => void pieces.push(bytes),
    room: () => 200_000,
    peerEnded: () => void ends.push('peerEnded'),
    drained: () => undefined,
    ended: (reason) => {
      ends.push(reason);
      done.resolve(Buffer.concat(pieces).toString('latin1'));
    },
    gone: () => undefined,
  };
}

describe('the NAT on Node', () => {
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end(page);
      return;
    }
    let length = 0;
    request.on('data', (bytes: Buffer) => (length += bytes.length));
    request.on('end', () => response.end(`got ${length}`));
  });
  const [one, two] = LinkEnd.pair();
  const nat = new Nat(
    one,
    {
      subnet: parseSubnet('10.0.2.0/24') ?? assert.fail(),
      allowHost: true,
      restricted: false,
      dhcp: true,
      mtu: 1500,
    },
    { sockets: nodeSockets, timers: nodeTimers, random32: () => Math.floor(Math.random() * 2 ** 32) },
    { reservedAddress: () => undefined, macsOf: () => [] },
  );
  const guest = new NetGuest(two, nodeTimers, '00:16:3e:00:00:01', '10.0.2.15', nat.addresses.mac);
  let port = 0;

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
  });
  after(() => {
    nat.close();
    server.close();
    server.closeAllConnections();
  });

  it('brings a guest a large page from an HTTP server', async () => {
    const user = collector();
    const connection = guest.connect('10.0.2.2', port, 40_000, user);
    connection.write(Buffer.from('GET / HTTP/1.0\r\n\r\n'));
    connection.end();
    const text = await user.text;
    assert.match(text, /^HTTP\/1\.1 200 OK/);
    assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, page.length);
    assert.deepEqual(user.ends, ['established', 'peerEnded', 'done']);
  });

  it('takes a large upload from a guest', async () => {
    const user = collector();
    const connection = guest.connect('10.0.2.2', port, 40_001, user);
    connection.write(Buffer.from(`POST / HTTP/1.0\r\nContent-Length: ${page.length}\r\n\r\n`));
    connection.write(page);
    connection.end();
    assert.match(await user.text, /got 5000000$/);
  });

  it('tells a guest that a port is closed', async () => {
    const user = collector();
    guest.connect('10.0.2.2', 1, 40_002, user);
    await user.text;
    assert.deepEqual(user.ends, ['reset']);
  });

  it('forwards a port to a server in the guest', async () => {
    guest.listen(80, (accept) => {
      const connection = accept({
        ...collector(),
        data: (bytes) => {
          if (!Buffer.from(bytes).toString('latin1').includes('\r\n\r\n')) return;
          connection.write(Buffer.from('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'));
          connection.end();
        },
      });
    });
    const rule = {
      protocol: 'tcp',
      host: { address: '127.0.0.1', port: 0 },
      guest: '10.0.2.15',
      guestPort: 80,
    } as const;
    const { host } = await nat.forward(rule);
    const [response] = (await once(get({ host: host.address, port: host.port }), 'response')) as [
      AsyncIterable<Buffer>,
    ];
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece);
    assert.equal(Buffer.concat(pieces).toString(), 'hello');
    await assert.rejects(
      nat.forward({ ...rule, host }),
      /cannot listen at tcp 127\.0\.0\.1 port \d+: somebody else listens there/,
    );
    assert.equal(nat.removeForward('tcp', host), true);
    const [error] = (await once(connect(host.port, host.address), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  it('carries datagrams to a service of the host and to one of the guest', async () => {
    const service = createSocket('udp4');
    service.on('message', (data, { port: from }) => service.send(`re: ${data.toString()}`, from, '127.0.0.1'));
    service.bind(0, '127.0.0.1');
    await once(service, 'listening');
    guest.sendUdp('10.0.2.2', service.address().port, 5000, Buffer.from('question'));
    while (guest.datagrams.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(Buffer.from(guest.datagrams[0]?.data ?? []).toString(), 're: question');
    assert.equal(guest.datagrams[0]?.from, '10.0.2.2');

    const { host } = await nat.forward({
      protocol: 'udp',
      host: { address: '127.0.0.1', port: 0 },
      guest: '10.0.2.15',
      guestPort: 53,
    });
    service.removeAllListeners('message');
    service.send('to the guest', host.port, '127.0.0.1');
    while (guest.datagrams.length === 1) await new Promise((resolve) => setTimeout(resolve, 5));
    const got = guest.datagrams[1] ?? assert.fail();
    guest.sendUdp(got.from, got.port, 53, Buffer.from('and back'));
    const [answer] = (await once(service, 'message')) as [Buffer];
    assert.equal(answer.toString(), 'and back');
    service.close();
  });
});
