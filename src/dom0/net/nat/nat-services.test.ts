/** What the gateway does itself: names, addresses, pings. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NetGuest } from '../../testing/net-guest.ts';
import { formatIp, parseMac } from '../packet/addresses.ts';
import { put32 } from '../packet/bytes.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../packet/ethernet.ts';
import { message } from './icmp.ts';
import { ip, network } from '../testing/nat-network.ts';

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
