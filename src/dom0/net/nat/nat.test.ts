/** The gateway as a guest meets it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import { FakeSockets, type FakeStream } from '../../testing/fake-sockets.ts';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { NetGuest } from '../../testing/net-guest.ts';
import { concat, Peer, smooth } from '../../testing/tcp-peer.ts';
import { LinkEnd } from '../link.ts';
import { formatIp, parseIp, parseMac, parseSubnet } from '../packet/addresses.ts';
import { put16, put32 } from '../packet/bytes.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../packet/ethernet.ts';
import { message } from './icmp.ts';
import { Nat } from './nat.ts';
import type { NatConfig } from './nat-config.ts';

const ip = (text: string): Uint8Array => parseIp(text) ?? assert.fail(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

function network(config: Partial<NatConfig> = {}, address = '10.0.2.15') {
  const timers = new ManualTimers();
  const sockets = new FakeSockets(timers);
  const [one, two] = LinkEnd.pair();
  let random = 1;
  const nat = new Nat(
    one,
    {
      subnet: parseSubnet('10.0.2.0/24') ?? assert.fail(),
      subnet6: parseSubnet('fd00:a00:200::/64'),
      allowHost: false,
      restricted: false,
      dhcp: true,
      mtu: 1500,
      ...config,
    },
    { sockets, timers, random32: () => (random = (random * 1103515245 + 12345) >>> 0) },
    {
      reservedAddress: (mac) => (mac === '00:16:3e:00:00:99' ? ip('10.0.2.99') : undefined),
      macsOf: (name) => (name === 'web' ? [parseMac('00:16:3e:00:00:01') ?? assert.fail()] : []),
    },
  );
  const guest = new NetGuest(two, timers, '00:16:3e:00:00:01', address, nat.addresses.mac);
  const peer = (limit = -1): Peer => new Peer(timers, () => smooth, limit);
  return { timers, sockets, nat, guest, peer, end: two };
}

/** A service that sends back what it gets, and ends when the guest does. */
function echo(stream: FakeStream): void {
  stream.onData = (data) => stream.send(data);
  stream.onEnd = () => {
    stream.sendEnd();
    stream.finish('done');
  };
}

describe('TCP through the NAT', () => {
  it('carries a conversation both ways and ends it on both sides', () => {
    const { timers, sockets, guest, peer, nat } = network();
    sockets.services.set('192.0.2.80 80', echo);
    const user = peer();
    const connection = guest.connect('192.0.2.80', 80, 1234, user);
    timers.pass(10);
    assert.equal(connection.state, 'ESTABLISHED');
    const sent = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7);
    connection.write(sent);
    connection.end();
    timers.pass(60_000);
    assert.equal(Buffer.compare(concat(user.received), sent), 0);
    assert.deepEqual(user.log, ['established', 'peerEnded', 'ended', 'done', 'gone']);
    assert.equal(nat.tcpFlows, 0);
    assert.ok(guest.frames < 60, `${guest.frames} frames: they are large`);
  });

  it('refuses what the host is refused, at once', () => {
    const { timers, guest, peer } = network();
    const user = peer();
    guest.connect('192.0.2.80', 81, 1234, user);
    timers.pass(10);
    assert.deepEqual(user.log, ['ended', 'reset', 'gone']);
  });

  it('says by ICMP that a host cannot be reached', () => {
    const { timers, guest, peer, sockets } = network();
    sockets.services.set('192.0.2.80 80', () => assert.fail());
    guest.connect('192.0.2.80', 80, 1234, peer());
    sockets.streams[0]?.finish('unreachable');
    timers.pass(10);
    const [error] = guest.others;
    assert.deepEqual([error?.protocol, error?.payload[0], error?.payload[1]], [PROTOCOL_ICMP, 3, 1]);
  });

  it("keeps the host's loopback and the rest of the link out of reach", () => {
    const { timers, guest, peer, sockets } = network();
    const forbidden = [
      '127.0.0.1',
      '127.1.2.3',
      '0.0.0.0',
      '10.255.255.254',
      '10.0.2.2',
      '10.0.2.200',
      '169.254.169.254',
      '224.0.0.1',
      '255.255.255.255',
      '10.0.2.3',
    ];
    for (const [i, address] of forbidden.entries()) {
      guest.connect(address, 80, 1000 + i, peer());
      guest.sendUdp(address, 81, 1000 + i, bytes('?'));
    }
    timers.pass(1000);
    assert.deepEqual(sockets.connects, []);
    assert.deepEqual(sockets.udp, []);
  });

  it('keeps IPv6 forms of the same addresses out of reach', () => {
    const { timers, guest, peer, sockets } = network({}, 'fd00:a00:200::15');
    for (const [i, address] of [
      '::1',
      '::',
      '::ffff:127.0.0.1',
      '::127.0.0.1',
      'fe80::2',
      'fe80::9',
      'ff02::1',
      'fd00:a00:200::2',
    ].entries()) {
      guest.connect(address, 80, 1000 + i, peer());
      guest.sendUdp(address, 81, 1000 + i, bytes('?'));
    }
    guest.connect('2001:db8::1', 80, 999, peer());
    timers.pass(100);
    assert.deepEqual(sockets.connects, ['2001:db8::1 80']);
    assert.deepEqual(sockets.udp, []);
  });

  it("lets the gateway's address stand for the host's loopback when that is allowed", () => {
    const { timers, guest, peer, sockets } = network({ allowHost: true });
    guest.connect('10.0.2.2', 8080, 1000, peer());
    guest.connect('127.0.0.1', 8080, 1001, peer());
    timers.pass(100);
    assert.deepEqual(sockets.connects, ['127.0.0.1 8080']);
  });

  it('holds back a guest whose server does not read, and takes only so much', () => {
    const { timers, guest, peer, sockets } = network();
    sockets.services.set('192.0.2.80 80', (stream) => (stream.reading = false));
    const connection = guest.connect('192.0.2.80', 80, 1, peer());
    timers.pass(10);
    for (let i = 0; i < 100; i++) connection.write(new Uint8Array(100_000));
    timers.pass(60_000);
    const [stream] = sockets.streams;
    assert.ok(stream && stream.pending > 0 && stream.pending <= 1024 * 1024, `${stream?.pending}`);
    assert.ok(connection.buffered > 8_000_000);
    stream.reading = true;
    stream.read();
    for (let i = 0; i < 200; i++) timers.pass(100);
    assert.equal(stream.bytes, 10_000_000);
  });

  it('does not read from a server whose guest does not read', () => {
    const { timers, guest, peer, sockets } = network();
    let stream: FakeStream | undefined;
    sockets.services.set('192.0.2.80 80', (made) => (stream = made));
    const user = peer(30_000);
    guest.connect('192.0.2.80', 80, 1, user);
    timers.pass(10);
    for (let i = 0; i < 100; i++) {
      stream?.send(new Uint8Array(64 * 1024));
      timers.pass(10);
    }
    assert.equal(stream?.paused, true);
    for (let i = 0; i < 5000 && user.receivedBytes < 100 * 64 * 1024; i++) {
      user.take(30_000);
      timers.pass(10);
    }
    assert.equal(user.receivedBytes, 100 * 64 * 1024);
  });

  it('resets one side when the other is', () => {
    const { timers, guest, peer, sockets } = network();
    sockets.services.set('192.0.2.80 80', () => undefined);
    const [one, two] = [peer(), peer()];
    guest.connect('192.0.2.80', 80, 1, one);
    const second = guest.connect('192.0.2.80', 80, 2, two);
    timers.pass(10);
    sockets.streams[0]?.finish('reset');
    second.abort();
    timers.pass(10);
    assert.deepEqual(one.log, ['established', 'ended', 'reset', 'gone']);
    assert.equal(sockets.streams[1]?.over, true);
  });

  it('serves thousands of connections at a time, and forgets them all', () => {
    const { timers, guest, peer, sockets, nat } = network();
    sockets.services.set('192.0.2.80 80', echo);
    const users = Array.from({ length: 2000 }, () => peer());
    const connections = users.map((user, i) => guest.connect('192.0.2.80', 80, 2000 + i, user));
    timers.pass(50);
    assert.equal(nat.tcpFlows, 2000);
    for (const connection of connections) {
      connection.write(bytes('hello'));
      connection.end();
    }
    timers.pass(60_000);
    assert.ok(users.every((user) => text(concat(user.received)) === 'hello'));
    assert.equal(nat.tcpFlows, 0);
    assert.equal(guest.connections, 0);
  });

  it('drops connections of a guest that opens too many, and serves again when some have ended', () => {
    const { timers, guest, peer, sockets, nat } = network();
    sockets.services.set('192.0.2.80 80', () => undefined);
    for (let i = 0; i < 3000; i++) guest.connect('192.0.2.80', 80, 2000 + i, peer());
    timers.pass(100);
    assert.equal(nat.tcpFlows, 2048);
    for (const stream of sockets.streams) stream.finish('reset');
    timers.pass(100);
    const user = peer();
    guest.connect('192.0.2.80', 80, 1, user);
    timers.pass(100);
    assert.deepEqual(user.log, ['established']);
  });

  it('forgets all that a guest had when it is unplugged', () => {
    const { timers, guest, peer, sockets, nat } = network();
    sockets.services.set('192.0.2.80 80', () => undefined);
    guest.connect('192.0.2.80', 80, 1, peer());
    guest.sendUdp('192.0.2.1', 9, 9, bytes('x'));
    timers.pass(100);
    nat.forget(guest.mac);
    timers.pass(1000);
    assert.deepEqual([nat.tcpFlows, nat.udpFlows, sockets.streams[0]?.over, sockets.udp[0]?.open], [0, 0, true, false]);
  });
});

describe('UDP through the NAT', () => {
  it('brings answers back from where the guest has sent to, and nothing else', () => {
    const { timers, guest, sockets } = network();
    sockets.datagramServices.set('192.0.2.7 7', (data, answer) => answer(data));
    guest.sendUdp('192.0.2.7', 7, 5000, bytes('ping'));
    timers.pass(10);
    assert.deepEqual(guest.datagrams, [{ from: '192.0.2.7', port: 7, to: 5000, data: bytes('ping') }]);
    sockets.udp[0]?.handlers.received(bytes('spam'), { address: '192.0.2.7', port: 8 });
    sockets.udp[0]?.handlers.received(bytes('spam'), { address: '192.0.2.8', port: 7 });
    timers.pass(10);
    assert.equal(guest.datagrams.length, 1);
  });

  it('carries datagrams larger than a frame both ways, in fragments', () => {
    const { timers, guest, sockets } = network();
    sockets.datagramServices.set('192.0.2.7 7', (data, answer) => answer(data));
    const data = Uint8Array.from({ length: 30_000 }, (_, i) => i);
    guest.sendUdp('192.0.2.7', 7, 5000, data);
    timers.pass(10);
    assert.equal(Buffer.compare(guest.datagrams[0]?.data ?? new Uint8Array(0), data), 0);
  });

  it('closes what has not been used, and the oldest when there are too many', () => {
    const { timers, guest, sockets, nat } = network();
    for (let i = 0; i < 2000; i++) guest.sendUdp('192.0.2.7', 7, 10_000 + i, bytes('x'));
    assert.equal(nat.udpFlows, 512);
    assert.equal(sockets.udp.filter(({ open }) => open).length, 512);
    timers.pass(10 * 60_000);
    assert.equal(nat.udpFlows, 0);
    assert.equal(sockets.udp.filter(({ open }) => open).length, 0);
  });
});

describe('the name server', () => {
  const question = (id: number): Uint8Array =>
    Uint8Array.of(id >> 8, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 0, 0, 1, 0, 1);

  it("passes questions on to the host's resolver, and its answer back", () => {
    const { timers, guest, sockets } = network();
    sockets.datagramServices.set('192.0.2.53 53', (data, answer) =>
      answer(Uint8Array.of(...data.subarray(0, 2), 0x81, 0x80, ...data.subarray(4))),
    );
    guest.sendUdp('10.0.2.3', 53, 5000, question(77));
    timers.pass(10);
    const [answer] = guest.datagrams;
    assert.deepEqual(
      [answer?.from, answer?.port, answer?.to, answer?.data[1], answer?.data[2]],
      ['10.0.2.3', 53, 5000, 77, 0x81],
    );
    assert.equal(sockets.udp.filter(({ open }) => open).length, 0);
  });

  it('asks the next resolver when one is silent, and says "server failure" when none is left', () => {
    const { timers, guest, sockets } = network();
    sockets.nameServers = [{ address: '192.0.2.54', port: 53 }, ...sockets.nameServers];
    sockets.datagramServices.set('192.0.2.53 53', (data, answer) => {
      if (data[1] === 77) answer(data);
    });
    guest.sendUdp('10.0.2.3', 53, 5000, question(77));
    guest.sendUdp('10.0.2.3', 53, 5001, question(78));
    timers.pass(10_000);
    assert.deepEqual(
      guest.datagrams.map(({ to, data }) => [to, (data[3] ?? 0) & 15]),
      [
        [5000, 0],
        [5001, 2],
      ],
    );
  });

  it('does not believe an answer from elsewhere, or to another question', () => {
    const { guest, sockets, timers } = network();
    guest.sendUdp('10.0.2.3', 53, 5000, question(77));
    const [socket] = sockets.udp;
    socket?.handlers.received(question(77), { address: '192.0.2.66', port: 53 });
    socket?.handlers.received(question(78), { address: '192.0.2.53', port: 53 });
    timers.pass(100);
    assert.deepEqual(guest.datagrams, []);
  });

  it('answers over TCP too', () => {
    const { timers, guest, peer, sockets } = network();
    guest.connect('10.0.2.3', 53, 1, peer());
    timers.pass(10);
    assert.deepEqual(sockets.connects, ['192.0.2.53 53']);
  });
});

describe('DHCP', () => {
  const types = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6 } as const;

  function request(guest: NetGuest, type: number, options: readonly number[] = []): void {
    const data = new Uint8Array(300);
    data.set([1, 1, 6, 0, 1, 2, 3, 4]);
    data.set(guest.mac, 28);
    put32(data, 236, 0x63825363);
    data.set([53, 1, type, ...options, 255], 240);
    guest.sendUdp('255.255.255.255', 67, 68, data);
  }

  const answer = (guest: NetGuest): { type: number | undefined; address: string; options: Map<number, Uint8Array> } => {
    const data = guest.datagrams.at(-1)?.data ?? assert.fail('no answer');
    const options = new Map<number, Uint8Array>();
    for (let at = 240; data[at] !== 255 && at < data.length; at += 2 + (data[at + 1] ?? 0))
      options.set(data[at] ?? 0, data.slice(at + 2, at + 2 + (data[at + 1] ?? 0)));
    return { type: options.get(53)?.[0], address: formatIp(data.slice(16, 20)), options };
  };

  it('offers and gives a guest an address, with gateway, name server and mask', () => {
    const { guest, nat } = network({}, '0.0.0.0');
    request(guest, types.discover);
    assert.deepEqual([answer(guest).type, answer(guest).address], [types.offer, '10.0.2.15']);
    request(guest, types.request, [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]);
    const { type, address, options } = answer(guest);
    assert.deepEqual([type, address], [types.ack, '10.0.2.15']);
    assert.deepEqual(
      [1, 3, 6].map((code) => formatIp(options.get(code) ?? assert.fail())),
      ['255.255.255.0', '10.0.2.2', '10.0.2.3'],
    );
    assert.equal(formatIp(nat.leaseOf('00:16:3e:00:00:01') ?? assert.fail()), '10.0.2.15');
  });

  it('gives a guest the same address again, refuses one that is not its own, and keeps reservations', () => {
    const { guest, nat, end, timers } = network({}, '0.0.0.0');
    request(guest, types.discover);
    request(guest, types.request, [50, 4, 10, 0, 2, 77]);
    assert.equal(answer(guest).type, types.nak);
    request(guest, types.request, [50, 4, 10, 0, 2, 15]);
    assert.equal(answer(guest).type, types.ack);
    const reserved = new NetGuest(end, timers, '00:16:3e:00:00:99', '0.0.0.0', nat.addresses.mac);
    request(reserved, types.discover);
    assert.equal(answer(reserved).address, '10.0.2.99');
    const second = new NetGuest(end, timers, '00:16:3e:00:00:02', '0.0.0.0', nat.addresses.mac);
    request(second, types.discover, [50, 4, 10, 0, 2, 15]);
    assert.equal(answer(second).address, '10.0.2.16');
  });
});

describe('the gateway itself', () => {
  it('answers a ping, of any size, and says that others are out of bounds', () => {
    const { guest } = network();
    for (const size of [56, 8000]) {
      guest.sendIp(
        '10.0.2.2',
        PROTOCOL_ICMP,
        message(guest.address, ip('10.0.2.2'), 8, 0, new Uint8Array(size).fill(7)),
      );
      const reply = guest.others.at(-1);
      assert.deepEqual([reply?.payload[0], reply?.payload.length, reply?.payload[20]], [0, size + 4, 7]);
    }
    guest.sendIp('192.0.2.1', PROTOCOL_ICMP, message(guest.address, ip('192.0.2.1'), 8, 0, new Uint8Array(10)));
    assert.deepEqual([guest.others.at(-1)?.payload[0], guest.others.at(-1)?.payload[1]], [3, 13]);
  });

  it('answers ARP for its addresses and no others', () => {
    const { guest } = network();
    for (const target of ['10.0.2.2', '10.0.2.3', '10.0.2.4']) {
      const frame = new Uint8Array(42);
      frame.fill(0xff, 0, 6);
      frame.set(guest.mac, 6);
      frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...guest.mac, ...guest.address, 0, 0, 0, 0, 0, 0, ...ip(target)], 12);
      guest.station.sendFrame(frame);
    }
    assert.deepEqual(
      guest.arps.map((frame) => formatIp(frame.slice(28, 32))),
      ['10.0.2.2', '10.0.2.3'],
    );
  });

  it('tells guests its IPv6 prefix and name server, and answers for its IPv6 addresses', () => {
    const { guest, timers } = network({}, 'fe80::16');
    const solicit = (destination: string, type: number, body: Uint8Array): void => {
      const packet = message(guest.address, ip(destination), type, 0, body);
      const header = {
        source: guest.address,
        destination: ip(destination),
        protocol: PROTOCOL_ICMPV6,
        length: packet.length,
        hopLimit: 255,
      };
      guest.station.send(parseMac('33:33:00:00:00:02') ?? assert.fail(), header, packet, []);
    };
    solicit('ff02::2', 133, new Uint8Array(4));
    const advertisement = guest.others.at(-1)?.payload ?? assert.fail();
    assert.equal(advertisement[0], 134);
    assert.equal(formatIp(advertisement.slice(48, 64)), 'fd00:a00:200::');
    assert.equal(formatIp(advertisement.slice(72, 88)), 'fd00:a00:200::3');
    const target = new Uint8Array(20);
    target.set(ip('fd00:a00:200::2'), 4);
    solicit('ff02::1:ff00:2', 135, target);
    assert.equal(guest.others.at(-1)?.payload[0], 136);
    const before = guest.others.length;
    timers.pass(15 * 60_000);
    assert.ok(guest.others.length > before, 'advertises from time to time');
  });
});

describe('port forwards', () => {
  it('bring a connection to a guest that is found by its address, from its gateway', async () => {
    const { nat, guest, sockets, timers, peer } = network();
    await nat.forward({
      protocol: 'tcp',
      host: { address: '127.0.0.1', port: 2222 },
      guest: '10.0.2.15',
      guestPort: 22,
    });
    const server = peer();
    guest.listen(22, (accept) => {
      server.connection = accept(server);
    });
    const stream = sockets.connectIn('127.0.0.1 2222') ?? assert.fail();
    const got: Uint8Array[] = [];
    stream.onData = (data) => void got.push(data);
    stream.send(bytes('SSH-2.0-test'));
    timers.pass(100);
    server.connection?.write(bytes('welcome'));
    timers.pass(100);
    assert.deepEqual([text(concat(server.received)), text(concat(got))], ['SSH-2.0-test', 'welcome']);
    stream.sendEnd();
    server.connection?.end();
    timers.pass(100);
    stream.finish('done');
    timers.pass(60_000);
    assert.equal(nat.tcpFlows, 0);
  });

  it('find a domain by its name and lease; nobody there is a reset', async () => {
    const { nat, sockets, timers } = network();
    await nat.forward({ protocol: 'tcp', host: { address: '127.0.0.1', port: 1 }, guest: 'web', guestPort: 22 });
    await nat.forward({ protocol: 'tcp', host: { address: '127.0.0.1', port: 2 }, guest: '10.0.2.77', guestPort: 22 });
    const [one, two] = [sockets.connectIn('127.0.0.1 1'), sockets.connectIn('127.0.0.1 2')];
    timers.pass(10_000);
    assert.deepEqual([one?.over, two?.over], [true, true]);
  });

  it('carry datagrams, each peer by a port of its own', async () => {
    const { nat, sockets, guest, timers } = network();
    await nat.forward({ protocol: 'udp', host: { address: '0.0.0.0', port: 5353 }, guest: '10.0.2.15', guestPort: 53 });
    const [socket] = sockets.udp;
    for (const port of [1, 2]) socket?.handlers.received(bytes(`from ${port}`), { address: '198.51.100.1', port });
    timers.pass(100);
    for (const { from, port, data } of guest.datagrams) guest.sendUdp(from, port, 53, bytes(`re: ${text(data)}`));
    timers.pass(100);
    assert.deepEqual(
      socket?.sent.map(({ data, to }) => [text(data), to.port]),
      [
        ['re: from 1', 1],
        ['re: from 2', 2],
      ],
    );
  });

  it('can be removed, and say when they cannot be made', async () => {
    const { nat, sockets } = network();
    const rule = {
      protocol: 'tcp',
      host: { address: '127.0.0.1', port: 80 },
      guest: '10.0.2.15',
      guestPort: 80,
    } as const;
    await nat.forward(rule);
    await assert.rejects(nat.forward(rule), /somebody else listens/);
    assert.deepEqual(nat.forwards, [rule]);
    assert.equal(nat.removeForward('tcp', rule.host), true);
    assert.equal(nat.removeForward('tcp', rule.host), false);
    assert.equal(sockets.listening.size, 0);
  });
});

describe('a hostile guest', () => {
  it('cannot break the NAT with any frames, nor make it grow', () => {
    const field = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 6, 17, 44, 58, 0x45, 0x60, 255));
    const frames = fc.array(
      fc.record({
        kind: fc.constantFrom([8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]),
        noise: fc.uint8Array({ minLength: 0, maxLength: 120 }),
        patches: fc.array(fc.tuple(fc.nat(80), field), { maxLength: 8 }),
        address: fc.boolean(),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(frames, (shapes) => {
        const { nat, guest, timers, sockets } = network();
        for (const { kind, noise, patches, address } of shapes) {
          const frame = new Uint8Array(14 + 40 + noise.length);
          frame.set(nat.addresses.mac, 0);
          frame.set(guest.mac, 6);
          frame.set(kind, 12);
          if (kind[0] === 8 && kind[1] === 0) {
            frame.set([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6], 14);
            put16(frame, 16, frame.length - 14);
            frame.set(guest.address, 26);
            frame.set(address ? ip('192.0.2.1') : nat.addresses.gateway, 30);
          } else if (kind[0] === 0x86) {
            frame.set([0x60, 0, 0, 0, 0, 0, 58, 255], 14);
            put16(frame, 18, frame.length - 54);
            frame.set(ip('fd00:a00:200::15'), 22);
            frame.set(ip('fd00:a00:200::2'), 38);
          }
          frame.set(noise, 34);
          for (const [at, value] of patches) frame[14 + at] = value;
          if (kind[0] === 8 && kind[1] === 0) {
            // Otherwise the header's checksum would keep all of them out.
            put16(frame, 24, 0);
            let sum = 0;
            for (let i = 14; i < 34; i += 2) sum += ((frame[i] ?? 0) << 8) | (frame[i + 1] ?? 0);
            while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
            put16(frame, 24, ~sum);
          }
          guest.station.sendFrame(frame);
          timers.pass(5);
        }
        timers.pass(24 * 3_600_000);
        assert.equal(nat.tcpFlows + nat.udpFlows, 0);
        assert.ok(sockets.udp.every(({ open }) => !open));
        assert.ok(timers.pending < 5, `${timers.pending} timers`);
      }),
      fuzz(300),
    );
  });

  it('gets nowhere with a storm of resets', () => {
    const { guest, timers, sockets, peer, nat } = network();
    sockets.services.set('192.0.2.80 80', echo);
    const user = peer();
    const connection = guest.connect('192.0.2.80', 80, 1, user);
    timers.pass(10);
    for (let i = 0; i < 20_000; i++) {
      const reset = {
        seq: i * 1000,
        ack: 0,
        flags: 4,
        window: 0,
        options: new Uint8Array(0),
        payload: [],
        payloadLength: 0,
        mss: 1460,
      };
      guest.sendSegment(ip('192.0.2.80'), 80, 2 + (i % 5), reset);
    }
    assert.equal(nat.tcpFlows, 1);
    connection.write(bytes('still here'));
    timers.pass(100);
    assert.equal(text(concat(user.received)), 'still here');
  });
});
