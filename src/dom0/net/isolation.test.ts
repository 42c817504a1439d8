/** A guest with rules among other guests of its bridge. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { FakeSockets } from '../testing/fake-sockets.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import { NetGuest } from '../testing/net-guest.ts';
import { Egress } from './egress/egress.ts';
import { compileRules, type EgressRule } from './egress/egress-rules.ts';
import { mayPass } from './egress/frame-filter.ts';
import { LinkEnd } from './link.ts';
import { addressesOf, type NatConfig } from './nat/nat-config.ts';
import { Network } from './network.ts';
import { parseIp, parseMac, parseSubnet } from './packet/addresses.ts';
import { put16 } from './packet/bytes.ts';
import { PROTOCOL_ICMP } from './packet/ethernet.ts';
import { VifDirectory } from './vif-directory.ts';

const nat: NatConfig = {
  subnet: parseSubnet('10.0.2.0/24') ?? assert.fail(),
  allowHost: false,
  restricted: false,
  dhcp: true,
  mtu: 1500,
};
const macs = ['00:16:3e:00:00:01', '00:16:3e:00:00:02', '00:16:3e:00:00:03'] as const;
const addresses = ['10.0.2.21', '10.0.2.22', '10.0.2.23'] as const;
const gatewayMac = addressesOf(nat).mac;
const mac = (text: string): Uint8Array => parseMac(text) ?? assert.fail();

/** Three guests: the first with rules, if any, the others without. Their `ip=` is theirs, so that nobody has to ask for one. */
function world(allow?: readonly EgressRule[]) {
  const timers = new ManualTimers();
  const sockets = new FakeSockets(timers);
  const store = new Map<string, string>();
  macs.forEach((own, n) => {
    store.set(`/local/domain/0/backend/vif/${n + 1}/0/mac`, own);
    store.set(`/local/domain/0/backend/vif/${n + 1}/0/ip`, addresses[n] ?? '');
  });
  const xs = {
    read: (path: string) => store.get(path),
    ls: (path: string) => {
      const below = [...store.keys()].filter((key) => key.startsWith(`${path}/`));
      return [...new Set(below.map((key) => key.slice(path.length + 1).split('/')[0] ?? ''))];
    },
  };
  const network = new Network(
    [{ name: 'xenbr0', nat, antispoof: false }],
    { sockets, timers, random32: () => 7 },
    new VifDirectory(xs),
  );
  const egresses = macs.map(() => new Egress(timers));
  const plug = (n: number, to: Uint8Array, as: string = macs[n] ?? '') => {
    const [end, other] = LinkEnd.pair();
    network.bridge('xenbr0')?.plug(other, { name: `vif${n + 1}.0`, mac: macs[n], egress: egresses[n] });
    return new NetGuest(end, timers, as, addresses[n] ?? '', to);
  };
  const [egress] = egresses;
  if (allow !== undefined && egress !== undefined) egress.rules = { default: 'deny', allow };
  return { timers, sockets, network, plug, egress };
}

const one = Uint8Array.of(1);
const inbox = (guest: NetGuest): string[] => guest.datagrams.map(({ from, port, to }) => `${from}:${port} ${to}`);

describe('a guest with rules on a bridge', () => {
  it('reaches the world as far as they go, and no other guest', () => {
    const { plug, sockets, network } = world([{ address: '192.0.2.0/24' }]);
    const second = plug(1, mac(macs[0]));
    const first = plug(0, mac(macs[1]));
    second.sendUdp(addresses[0], 9, 9, one);
    first.sendUdp(addresses[1], 9, 9, one);
    first.sendIp(addresses[1], PROTOCOL_ICMP, Uint8Array.of(8, 0, 0xf7, 0xff, 0, 0, 0, 0));
    assert.deepEqual([inbox(first), inbox(second), first.others, second.others], [[], [], [], []]);
    plug(0, gatewayMac).sendUdp('192.0.2.1', 9, 9, one);
    assert.equal(sockets.udp.length, 1);
    assert.equal(network.egressOf('vif1.0')?.refused.frames, 2);
  });

  it('reaches those that rules name, at their ports, and gets from there what comes back', () => {
    const { plug } = world([{ address: addresses[1], ports: [53], protocol: 'udp' }]);
    const third = plug(2, mac(macs[0]));
    const second = plug(1, mac(macs[0]));
    const first = plug(0, mac(macs[1]));
    for (const port of [53, 54]) first.sendUdp(addresses[1], port, 4000, one);
    second.sendUdp(addresses[0], 4000, 53, one);
    second.sendUdp(addresses[0], 4000, 54, one);
    third.sendUdp(addresses[0], 4000, 53, one);
    assert.deepEqual([inbox(second), inbox(first)], [['10.0.2.21:4000 53'], ['10.0.2.22:53 4000']]);
  });

  it('asks all only for those that it may reach, and for the gateway', () => {
    const { plug } = world([{ address: addresses[1] }]);
    const guests = [plug(0, new Uint8Array(6).fill(255)), plug(1, mac(macs[0])), plug(2, mac(macs[0]))] as const;
    const [first, second, third] = guests;
    const asks = (who: NetGuest, whom: string): void => {
      const arp = new Uint8Array(42);
      arp.set([...new Uint8Array(6).fill(255), ...who.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...who.mac, ...who.address]);
      arp.set(parseIp(whom) ?? [], 38);
      who.station.sendFrame(arp);
    };
    asks(first, addresses[1]);
    asks(first, addresses[2]);
    asks(first, '10.0.2.2');
    // Who is there is not known: the question goes to both.
    assert.deepEqual([second.arps.length, third.arps.length], [1, 1]);
    // The neighbour's answer, and the gateway's.
    assert.equal(first.arps.length, 2);
    asks(third, addresses[0]);
    asks(second, addresses[0]);
    assert.equal(first.arps.length, 3);
    first.sendUdp('255.255.255.255', 5353, 5353, one);
    assert.deepEqual([inbox(second), inbox(third)], [[], []]);
  });

  it('is nobody else, by its ethernet address', () => {
    const { plug, sockets, egress } = world([{ address: '192.0.2.1' }]);
    plug(0, gatewayMac, macs[1]).sendUdp('192.0.2.1', 9, 9, one);
    assert.equal(sockets.udp.length, 0);
    if (egress) egress.rules = { default: 'allow' };
    plug(0, gatewayMac, macs[1]).sendUdp('192.0.2.1', 9, 9, one);
    assert.equal(sockets.udp.length, 1);
  });

  it('is nobody else, by the address that DHCP gave it', () => {
    const { plug, sockets, network } = world([{ address: '0.0.0.0/0' }]);
    // Without ip= in the configuration of this one.
    const timers = new ManualTimers();
    const bare = new Network(
      [{ name: 'xenbr0', nat, antispoof: false }],
      { sockets, timers, random32: () => 7 },
      new VifDirectory({ read: () => undefined, ls: () => undefined }),
    );
    const egress = new Egress(timers);
    egress.rules = { default: 'deny', allow: [{ address: '0.0.0.0/0' }] };
    const [end, other] = LinkEnd.pair();
    bare.bridge('xenbr0')?.plug(other, { name: 'vif1.0', mac: macs[0], egress });
    new NetGuest(end, timers, macs[0], addresses[0], gatewayMac).sendUdp('192.0.2.1', 9, 9, one);
    assert.equal(sockets.udp.length, 0);
    plug(0, gatewayMac).sendUdp('192.0.2.1', 9, 9, one);
    assert.equal(sockets.udp.length, 1);
    assert.equal(network.egressOf('vif9.0'), undefined);
  });
});

describe('what passes between guests', () => {
  const rules =
    compileRules({ default: 'deny', allow: [{ address: '10.0.2.22', ports: [53] }, { address: 'fd00::22' }] }) ?? [];
  const header = (type: number, ...rest: number[]): Uint8Array => {
    const head = new Uint8Array(120);
    put16(head, 12, type);
    head.set(rest, 14);
    return head;
  };
  const there = [10, 0, 2, 22] as const;
  const here = [10, 0, 2, 21] as const;
  const udp = (source: readonly number[], to: readonly number[], offset: number, ...ports: number[]): Uint8Array =>
    header(0x0800, 0x45, 0, 0, 40, 0, 0, offset, 0, 64, 17, 0, 0, ...source, ...to, ...ports);

  it('is never a fragment where ports matter, nor a frame with a tag, nor another protocol', () => {
    assert.equal(mayPass(udp(here, there, 0, 9, 9, 0, 53), 'out', rules), true);
    assert.equal(mayPass(udp(here, there, 0x20, 9, 9, 0, 53), 'out', rules), false);
    assert.equal(mayPass(udp(there, here, 0, 0, 53, 9, 9), 'in', rules), true);
    assert.equal(mayPass(udp(there, here, 0, 9, 9, 0, 53), 'in', rules), false);
    for (const type of [0x8100, 0x88a8, 0x86dd, 0x88cc, 0x0806])
      assert.equal(mayPass(header(type, 0, 1, 8, 0, 0x45, 0, 0, 40), 'out', rules), false);
  });

  it('of neighbour discovery is what is about those that may be reached', () => {
    const fd00 = (last: number): number[] => [0xfd, ...new Array<number>(14).fill(0), last];
    const discovery = (type: number, source: number, to: number, target: number): Uint8Array =>
      header(
        0x86dd,
        0x60,
        0,
        0,
        0,
        0,
        32,
        58,
        255,
        ...fd00(source),
        ...fd00(to),
        type,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        ...fd00(target),
      );
    const cases: readonly ['out' | 'in', Uint8Array, boolean][] = [
      ['out', discovery(135, 0x21, 0xff, 0x22), true],
      ['out', discovery(135, 0x21, 0xff, 0x23), false],
      ['in', discovery(136, 0x22, 0x21, 0x22), true],
      ['in', discovery(136, 0x22, 0x21, 0x23), false],
      ['in', discovery(135, 0x22, 0xff, 0x21), true],
      ['in', discovery(135, 0x23, 0xff, 0x21), false],
      ['out', discovery(136, 0x21, 0x22, 0x21), true],
      ['out', discovery(136, 0x21, 0x23, 0x21), false],
    ];
    for (const [direction, frame, passes] of cases) assert.equal(mayPass(frame, direction, rules), passes);
  });

  it('is decided for any frame', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 90 }), fc.constantFrom(0x0800, 0x86dd, 0x0806, 0x8100), (bytes, type) => {
        if (bytes.length >= 14) put16(bytes, 12, type);
        for (const direction of ['out', 'in'] as const) {
          const passes = mayPass(bytes, direction, rules);
          if (passes) assert.ok([22, 0x22].some((last) => bytes.includes(last)));
          assert.equal(mayPass(bytes, direction, []), false);
        }
      }),
      fuzz(500),
    );
  });
});
