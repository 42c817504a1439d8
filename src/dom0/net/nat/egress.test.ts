/** A guest that may reach only what its rules name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROTOCOL_ICMP } from '../packet/ethernet.ts';
import type { EgressRules } from '../egress/egress-rules.ts';
import { answer, question, TYPES, type Answer } from '../testing/dns.ts';
import { bytes, echo, network } from '../testing/nat-network.ts';
import { RST } from '../tcp/segment.ts';

type World = ReturnType<typeof network>;

function restricted(allow: Extract<EgressRules, { default: 'deny' }>['allow'], config = {}): World {
  return network(config, '10.0.2.15', { default: 'deny', allow });
}

/** What the resolver knows. */
function resolve({ sockets }: World, records: readonly Answer[]): string[] {
  const asked: string[] = [];
  sockets.datagramServices.set('192.0.2.53 53', (data, reply) => {
    asked.push(
      new TextDecoder()
        .decode(data.subarray(13))
        .replace(/[^a-z]+/g, '.')
        .replace(/\.$/, ''),
    );
    reply(answer(data, records));
  });
  return asked;
}

function look({ guest, timers }: World, name: string, type: number = TYPES.A): number | undefined {
  guest.sendUdp('10.0.2.3', 53, 5000, question(name, type));
  timers.pass(10);
  const data = guest.datagrams.at(-1)?.data;
  return data && (data[3] ?? 0) & 15;
}

let from = 1000;
function connects(
  { guest, timers, peer, sockets }: World,
  address: string,
  port: number,
): 'connected' | 'refused' | 'silence' {
  const before = sockets.connects.length;
  sockets.services.set(`${address} ${port}`, echo);
  let refused = false;
  const user = peer();
  const { ended } = user;
  user.ended = (reason) => {
    refused ||= reason === 'reset';
    ended.call(user, reason);
  };
  guest.connect(address, port, ++from, user);
  timers.pass(10);
  if (sockets.connects.length > before) return 'connected';
  return refused ? 'refused' : 'silence';
}

describe('a guest with rules', () => {
  it('reaches addresses that a rule names, at their ports, and is refused others at once', () => {
    const world = restricted([{ address: '203.0.113.0/24', ports: [80, '8000-8100'] }, { address: '198.51.100.7' }]);
    assert.deepEqual(
      [
        connects(world, '203.0.113.9', 80),
        connects(world, '203.0.113.9', 8050),
        connects(world, '203.0.113.9', 443),
        connects(world, '203.0.114.9', 80),
        connects(world, '198.51.100.7', 22),
      ],
      ['connected', 'connected', 'refused', 'refused', 'connected'],
    );
    assert.deepEqual(
      world.egress.summary.passed.map(({ count }) => count),
      [2, 1],
    );
    assert.equal(world.egress.summary.refused.tcp, 2);
  });

  it('reaches an address by a name only after it was told that it has it, and for as long', () => {
    const world = restricted([{ domain: 'deb.example', ports: [80] }, { domain: '*.pool.example' }]);
    const asked = resolve(world, [
      ['deb.example', '203.0.113.1', 60],
      ['a.pool.example', '203.0.113.2', 60],
    ]);
    assert.equal(connects(world, '203.0.113.1', 80), 'refused');
    assert.deepEqual([look(world, 'DEB.example'), look(world, 'a.pool.example')], [0, 0]);
    assert.deepEqual(
      [connects(world, '203.0.113.1', 80), connects(world, '203.0.113.1', 443), connects(world, '203.0.113.2', 443)],
      ['connected', 'refused', 'connected'],
    );
    world.timers.pass(301_000);
    assert.equal(connects(world, '203.0.113.1', 80), 'refused');
    assert.equal(asked.length, 2);
  });

  it('is told that other names are none, and the resolver does not hear of them', () => {
    const world = restricted([{ domain: 'deb.example' }]);
    const asked = resolve(world, [['evil.example', '203.0.113.66', 60]]);
    assert.deepEqual(
      [look(world, 'evil.example'), look(world, 'x.deb.example'), look(world, 'deb.example.evil')],
      [3, 3, 3],
    );
    assert.deepEqual(asked, []);
    // An answer to an allowed question says nothing of other names.
    assert.equal(look(world, 'deb.example'), 0);
    assert.equal(connects(world, '203.0.113.66', 80), 'refused');
    world.guest.sendUdp('10.0.2.3', 53, 5000, bytes('no question'));
    assert.equal(connects(world, '10.0.2.3', 53), 'refused');
    assert.equal(world.egress.summary.refused.names, 5);
  });

  it('does not get to the host or to other guests by a name that has their addresses', () => {
    const world = restricted([{ domain: 'rebind.example' }], { allowHost: true });
    resolve(
      world,
      ['10.0.2.2', '10.0.2.16', '127.0.0.1', '169.254.169.254'].map((address) => ['rebind.example', address, 60]),
    );
    assert.equal(look(world, 'rebind.example'), 0);
    for (const address of ['10.0.2.2', '10.0.2.16', '127.0.0.1', '169.254.169.254'])
      assert.equal(connects(world, address, 80), 'refused', address);
    const byAddress = restricted([{ address: '10.0.2.2', ports: [80] }], { allowHost: true });
    byAddress.sockets.services.set('127.0.0.1 80', echo);
    assert.equal(connects(byAddress, '10.0.2.2', 80), 'connected');
    assert.equal(connects(byAddress, '10.0.2.2', 81), 'refused');
    assert.equal(connects(restricted([{ address: '0.0.0.0/0' }]), '127.0.0.1', 80), 'refused');
  });

  it('sends datagrams where it may, is told where it may not, and keeps what stands', () => {
    const world = restricted([{ domain: 'ntp.example', ports: [123], protocol: 'udp' }]);
    resolve(world, [['ntp.example', '203.0.113.1', 60]]);
    const { guest, timers, sockets } = world;
    const sent = (): number => sockets.udp.flatMap((socket) => socket.sent).filter(({ to }) => to.port === 123).length;
    guest.sendUdp('203.0.113.1', 123, 4000, bytes('early'));
    assert.equal(sent(), 0);
    const error = guest.others.find(({ protocol }) => protocol === PROTOCOL_ICMP)?.payload;
    assert.deepEqual([error?.[0], error?.[1]], [3, 13]);
    look(world, 'ntp.example');
    for (let i = 0; i < 4; i++) {
      guest.sendUdp('203.0.113.1', 123, 4000, bytes('tick'));
      timers.pass(120_000);
    }
    assert.equal(sent(), 4);
    guest.sendUdp('203.0.113.1', 123, 4001, bytes('late'));
    assert.equal(sent(), 4);
    assert.equal(connects(world, '203.0.113.1', 123), 'refused');
    assert.deepEqual(world.egress.summary.refused, { tcp: 1, udp: 2, names: 0, frames: 0 });
  });

  it('reaches nothing without any, but has an address, a gateway that answers, and its connections from before', () => {
    const world = network();
    const { guest, egress, timers, sockets, peer } = world;
    sockets.services.set('203.0.113.1 80', echo);
    const connection = guest.connect('203.0.113.1', 80, 1, peer());
    timers.pass(10);
    egress.rules = { default: 'deny', allow: [] };
    assert.equal(connects(world, '203.0.113.1', 80), 'refused');
    connection.write(bytes('still here'), true);
    timers.pass(10);
    assert.equal(sockets.streams[0]?.bytes, 10);
    guest.strays.length = 0;
    guest.sendIp('203.0.113.1', 17, Uint8Array.of(0, 1, 0, 2, 0, 8, 0, 0));
    assert.equal(
      guest.strays.some(({ flags }) => (flags & RST) !== 0),
      false,
    );
    egress.rules = { default: 'allow' };
    assert.equal(connects(world, '203.0.113.1', 80), 'connected');
  });

  it('has the same rules for IPv6', () => {
    const world = network({}, 'fd00:a00:200::15', {
      default: 'deny',
      allow: [{ domain: 'six.example', ports: [80] }, { address: '2001:db8:1::/48' }],
    });
    assert.deepEqual(
      [connects(world, '2001:db8:1::9', 1), connects(world, '2001:db8:2::9', 80)],
      ['connected', 'refused'],
    );
    resolve(world, [['six.example', '2001:db8:2::9', 60]]);
    world.guest.sendUdp('fd00:a00:200::3', 53, 5000, question('six.example', TYPES.AAAA));
    world.timers.pass(10);
    assert.equal(connects(world, '2001:db8:2::9', 80), 'connected');
  });
});
