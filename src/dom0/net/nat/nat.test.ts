/** Conversations through the gateway, as a guest has them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import type { FakeStream } from '../../testing/fake-sockets.ts';
import { concat } from '../../testing/tcp-peer.ts';
import { put16 } from '../packet/bytes.ts';
import { PROTOCOL_ICMP } from '../packet/ethernet.ts';
import { bytes, echo, ip, network, text } from '../testing/nat-network.ts';

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
