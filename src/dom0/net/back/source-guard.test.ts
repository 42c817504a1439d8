import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { headersOf, IpProtocol } from '../headers.ts';
import { macBytes, macOne, macTwo, tcpFrame, udpFrame } from '../testing/frames.ts';
import { SourceGuard } from './source-guard.ts';

const guard = SourceGuard.from(macOne, '10.0.0.1  192.0.2.0/24 2001:db8::1');

function withSource(address: readonly number[], options: { v6?: boolean; payload?: number } = {}): Uint8Array {
  const { v6 = false, payload = 100 } = options;
  const { head } = udpFrame({ v6, payload });
  head.set(address, v6 ? 22 : 26);
  return head;
}

const global6 = (last: number): number[] => [0x20, 1, 0x0d, 0xb8, ...Array<number>(11).fill(0), last];

it('lets the own addresses and networks pass, and no others', () => {
  const passes = (address: number[], v6 = false): boolean => guard.allows(withSource(address, { v6 }));
  assert.deepEqual([passes([10, 0, 0, 1]), passes([192, 0, 2, 200])], [true, true]);
  assert.deepEqual([passes([10, 0, 0, 2]), passes([192, 0, 3, 1]), passes([0, 0, 0, 0])], [false, false, false]);
  assert.deepEqual([passes(global6(1), true), passes(global6(2), true)], [true, false]);
  assert.equal(passes([0xfe, 0x80, ...Array<number>(13).fill(0), 9], true), true);
});

it('lets nothing pass from another ethernet address', () => {
  assert.equal(guard.allows(tcpFrame({ payload: 1, source: macTwo }).head), false);
});

it('looks behind VLAN tags', () => {
  const { head } = tcpFrame({ payload: 1, vlan: true });
  assert.equal(guard.allows(head), true);
  head[33] = 9;
  assert.equal(guard.allows(head), false);
  const tags = [0x81, 0, 0, 1];
  assert.equal(
    guard.allows(Uint8Array.from([...head.subarray(0, 12), ...tags, ...tags, ...tags, ...head.subarray(12)])),
    false,
  );
});

it('lets a guest ask for an address by DHCP', () => {
  const head = withSource([0, 0, 0, 0]);
  head.set([0, 68, 0, 67], headersOf(head).transport);
  assert.equal(guard.allows(head), true);
  head[23] = IpProtocol.TCP;
  assert.equal(guard.allows(head), false);
});

it('checks who an ARP message says it is from', () => {
  const arp = (mac: string, ip: readonly number[]): Uint8Array =>
    Uint8Array.from([
      ...macBytes(macTwo),
      ...macBytes(macOne),
      ...[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
      ...macBytes(mac),
      ...ip,
      ...macBytes(macTwo),
      ...[10, 0, 0, 2],
    ]);
  assert.equal(guard.allows(arp(macOne, [10, 0, 0, 1])), true);
  assert.equal(guard.allows(arp(macOne, [0, 0, 0, 0])), true);
  assert.equal(guard.allows(arp(macOne, [10, 0, 0, 2])), false);
  assert.equal(guard.allows(arp(macTwo, [10, 0, 0, 1])), false);
  assert.equal(guard.allows(arp(macOne, [10, 0, 0, 1]).subarray(0, 41)), false);
});

it('lets nobody advertise a router, or the address of a neighbour', () => {
  const icmp = (type: number, target: number): Uint8Array => {
    const head = withSource(global6(1), { v6: true });
    head[20] = IpProtocol.ICMPv6;
    head[54] = type;
    head.set(global6(target), 62);
    return head;
  };
  assert.deepEqual(
    [133, 134, 135, 136, 137].map((type) => guard.allows(icmp(type, 1))),
    [true, false, true, true, false],
  );
  assert.equal(guard.allows(icmp(136, 2)), false);
});

it('refuses what it does not understand', () => {
  assert.throws(() => SourceGuard.from('00:16:3e', '10.0.0.1'), /no MAC address/);
  assert.throws(() => SourceGuard.from(macOne, '10.0.0.1 10.0.0.0/33'), /ip=10.0.0.0\/33 is neither/);
  assert.equal(guard.allows(withSource([10, 0, 0, 1]).subarray(0, 20)), false);
});

it('is never surprised', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 14, maxLength: 256 }),
      fc.constantFrom([8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]),
      (head, type) => {
        head.set(macBytes(macOne), 6);
        head.set(type, 12);
        assert.equal(typeof guard.allows(head), 'boolean');
      },
    ),
  );
});
