/** Guests on the bridges of a host: among themselves, out, and kept to what they are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeSockets } from '../testing/fake-sockets.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import { NetGuest } from '../testing/net-guest.ts';
import { LinkEnd, type Bridge } from './link.ts';
import { Network, type BridgeConfig } from './network.ts';
import { addressesOf, type NatConfig } from './nat/nat-config.ts';
import { formatIp, parseMac, parseSubnet } from './packet/addresses.ts';
import { put32 } from './packet/bytes.ts';
import { VifDirectory } from './vif-directory.ts';

const nat: NatConfig = {
  subnet: parseSubnet('10.0.2.0/24') ?? assert.fail(),
  allowHost: false,
  restricted: false,
  dhcp: true,
  mtu: 1500,
};
const macs = ['00:16:3e:00:00:01', '00:16:3e:00:00:02'] as const;
const gatewayMac = addressesOf(nat).mac;

/** Two domains, web and db, with a vif each, as libxl writes them. */
const store: Readonly<Record<string, string>> = {
  '/local/domain/1/name': 'web',
  '/local/domain/2/name': 'db',
  '/local/domain/0/backend/vif/1/0/mac': macs[0],
  '/local/domain/0/backend/vif/2/0/mac': macs[1],
  '/local/domain/0/backend/vif/2/0/ip': '10.0.2.77 192.0.2.7',
};
const xs = {
  read: (path: string): string | undefined => store[path],
  ls: (path: string): string[] | undefined => {
    const below = Object.keys(store).filter((key) => key.startsWith(`${path}/`));
    return below.length > 0
      ? [...new Set(below.map((key) => key.slice(path.length + 1).split('/')[0] ?? ''))]
      : undefined;
  },
};

function network(config: Partial<BridgeConfig> = {}, hostBridge?: (name: string) => Bridge | undefined) {
  const timers = new ManualTimers();
  const sockets = new FakeSockets(timers);
  const host = { sockets, timers, random32: () => 7, ...(hostBridge ? { hostBridge } : {}) };
  const made = new Network([{ name: 'xenbr0', nat, antispoof: false, ...config }], host, new VifDirectory(xs));
  const plug = (n: 0 | 1, address: string, mac: string = macs[n], to = gatewayMac) => {
    const [end, other] = LinkEnd.pair();
    made.bridge('xenbr0')?.plug(other, { name: `vif${n + 1}.0`, mac: macs[n] });
    return { guest: new NetGuest(end, timers, mac, address, to), end };
  };
  return { timers, sockets, network: made, plug };
}

/** The address that is offered. */
function discover(guest: NetGuest): string | undefined {
  ask(guest, [53, 1, 1]);
  const offer = guest.datagrams.at(-1)?.data;
  return offer && formatIp(offer.slice(16, 20));
}

function lease(guest: NetGuest): void {
  const [a = 0, b = 0, c = 0, d = 0] = (discover(guest) ?? '').split('.').map(Number);
  ask(guest, [53, 1, 3, 50, 4, a, b, c, d]);
}

function ask(guest: NetGuest, options: readonly number[]): void {
  const data = new Uint8Array(300);
  data.set([1, 1, 6, 0]);
  data.set(guest.mac, 28);
  put32(data, 236, 0x63825363);
  data.set([...options, 255], 240);
  guest.sendUdp('255.255.255.255', 67, 68, data);
}

describe('the networks of a host', () => {
  it('connect guests of one bridge with each other and with the gateway', () => {
    const { plug, sockets } = network();
    const one = plug(0, '10.0.2.15', macs[0], parseMac(macs[1])).guest;
    const two = plug(1, '10.0.2.16').guest;
    one.sendUdp('10.0.2.16', 9, 9, Uint8Array.of(1));
    assert.equal(two.datagrams.length, 1);
    two.sendUdp('192.0.2.1', 9, 9, Uint8Array.of(1));
    assert.equal(sockets.udp.length, 1);
  });

  it('give a vif the address that the configuration names', () => {
    const { plug } = network();
    assert.equal(discover(plug(1, '0.0.0.0').guest), '10.0.2.77');
    assert.equal(discover(plug(0, '0.0.0.0').guest), '10.0.2.15');
  });

  it('keep guests to what they are, where that is wanted', () => {
    const { plug, sockets } = network({ antispoof: true });
    const { guest } = plug(0, '10.0.2.15');
    for (const spoofing of [plug(1, '10.0.2.77', '00:16:3e:00:00:09').guest, guest])
      spoofing.sendUdp('192.0.2.1', 9, 9, Uint8Array.of(1));
    assert.equal(sockets.udp.length, 0, 'one has to be what it was made, and to have an address by DHCP');
    lease(plug(0, '0.0.0.0').guest);
    guest.sendUdp('192.0.2.1', 9, 9, Uint8Array.of(1));
    assert.equal(sockets.udp.length, 1);
    plug(0, '10.0.2.16').guest.sendUdp('192.0.2.1', 9, 10, Uint8Array.of(1));
    assert.equal(sockets.udp.length, 1, "somebody else's address");
    plug(1, '10.0.2.77').guest.sendUdp('192.0.2.1', 9, 9, Uint8Array.of(1));
    assert.equal(sockets.udp.length, 2, 'with ip= the backend looks at addresses');
  });

  it('forget what a guest had when it is unplugged', () => {
    const { plug, sockets } = network();
    const { guest, end } = plug(0, '10.0.2.15');
    guest.sendUdp('192.0.2.1', 9, 9, Uint8Array.of(1));
    end.close();
    assert.equal(sockets.udp[0]?.open, false);
  });

  it('leave the host its own bridges', () => {
    const plugged: string[] = [];
    const bridge: Bridge = { plug: (_, { name }) => void plugged.push(name) };
    const { network: made, plug } = network({ host: true }, (name) => (name === 'xenbr0' ? bridge : undefined));
    plug(0, '10.0.2.15');
    assert.deepEqual(plugged, ['vif1.0']);
    assert.equal(made.bridge('xenbr1'), undefined);
  });
});
