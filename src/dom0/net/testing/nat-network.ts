/** The NAT between a guest and fake sockets of the host, in fake time. */
import assert from 'node:assert/strict';
import { FakeSockets, type FakeStream } from '../../testing/fake-sockets.ts';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { NetGuest } from '../../testing/net-guest.ts';
import { Peer, smooth } from '../../testing/tcp-peer.ts';
import { Egress } from '../egress/egress.ts';
import type { EgressRules } from '../egress/egress-rules.ts';
import { LinkEnd } from '../link.ts';
import { parseIp, parseMac, parseSubnet } from '../packet/addresses.ts';
import { Nat } from '../nat/nat.ts';
import type { NatConfig } from '../nat/nat-config.ts';

export const ip = (text: string): Uint8Array => parseIp(text) ?? assert.fail(text);
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

/** A guest behind a gateway, and the host's sockets behind that. */
export function network(config: Partial<NatConfig> = {}, address = '10.0.2.15', rules?: EgressRules) {
  const timers = new ManualTimers();
  const sockets = new FakeSockets(timers);
  const [one, two] = LinkEnd.pair();
  const egress = new Egress(timers);
  if (rules !== undefined) egress.rules = rules;
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
      egressOf: () => (egress.restricts ? egress : undefined),
      macsOf: (name) => (name === 'web' ? [parseMac('00:16:3e:00:00:01') ?? assert.fail()] : []),
    },
  );
  const guest = new NetGuest(two, timers, '00:16:3e:00:00:01', address, nat.addresses.mac);
  const peer = (limit = -1): Peer => new Peer(timers, () => smooth, limit);
  return { timers, sockets, nat, guest, peer, egress, end: two };
}

/** A service that sends back what it gets, and ends when the guest does. */
export function echo(stream: FakeStream): void {
  stream.onData = (data) => stream.send(data);
  stream.onEnd = () => {
    stream.sendEnd();
    stream.finish('done');
  };
}
