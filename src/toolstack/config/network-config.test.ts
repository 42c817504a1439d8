import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIp } from '../../dom0/net/packet/addresses.ts';
import { XenError } from '../xen-error.ts';
import { formatGuestPort, formatHostPort, parseGuestPort, parseHostPort } from './forward-spec.ts';
import { parseNetworkConfig, readNetworkConfig } from './network-config.ts';

const parse = (text: string) => parseNetworkConfig(text, 'network.cfg');

describe('network.cfg', () => {
  it('is not needed: there is xenbr0, with NAT and IPv6, and the host out of reach', () => {
    const { bridges, forwards } = parse('');
    const bridge = bridges[0] ?? assert.fail();
    const nat = bridge.nat ?? assert.fail();
    assert.equal(bridge.name, 'xenbr0');
    assert.equal(formatIp(nat.subnet.address), '10.0.2.0');
    assert.equal(formatIp(nat.subnet6?.address ?? assert.fail()), 'fd00:a00:200::');
    assert.deepEqual([nat.allowHost, nat.restricted, nat.dhcp, bridge.antispoof], [false, false, true, false]);
    assert.deepEqual([bridges.length, forwards], [1, []]);
  });

  it('names bridges, each with a subnet of its own', () => {
    const { bridges } = parse(`bridge = [
      "name=xenbr1",
      "name=lan, nat=0, antispoof=1",
      "name=dmz, subnet=192.168.5.0/25, ipv6=0, allow_host=1, resolver=9.9.9.9, resolver=2620:fe::fe, resolver=127.0.0.1:5300, mtu=1400",
    ]`);
    assert.deepEqual(
      bridges.map(({ name, nat }) => [name, nat && formatIp(nat.subnet.address)]),
      [
        ['xenbr0', '10.0.2.0'],
        ['xenbr1', '10.0.3.0'],
        ['lan', undefined],
        ['dmz', '192.168.5.0'],
      ],
    );
    const dmz = bridges[3]?.nat;
    assert.deepEqual([dmz?.subnet6, dmz?.allowHost, dmz?.mtu], [undefined, true, 1400]);
    assert.deepEqual(
      dmz?.resolvers?.map(({ address, port }) => `${address} ${port}`),
      ['9.9.9.9 53', '2620:fe::fe 53', '127.0.0.1 5300'],
    );
  });

  it('names port forwards', () => {
    const { forwards } = parse('forward = [ "2222 web:22", "udp:*:5353 10.0.2.15:53 bridge=xenbr0" ]');
    assert.deepEqual(forwards, [
      { protocol: 'tcp', host: { address: '127.0.0.1', port: 2222 }, guest: 'web', guestPort: 22, bridge: undefined },
      {
        protocol: 'udp',
        host: { address: '0.0.0.0', port: 5353 },
        guest: '10.0.2.15',
        guestPort: 53,
        bridge: 'xenbr0',
      },
    ]);
  });

  it('says in one sentence what is wrong, and where', () => {
    const cases: readonly [string, RegExp][] = [
      ['\nbrigde = []', /^network\.cfg:2: unknown key "brigde"$/],
      ['bridge = [ "name=a, sub=1" ]', /^network\.cfg:1: unknown key "sub" in bridge "name=a, sub=1"$/],
      ['bridge = [ "subnet=10.0.0.0/24" ]', /needs a name/],
      ['bridge = [ "name=a", "name=a" ]', /bridge "a" is there twice/],
      ['bridge = [ "name=a, subnet=10.0.0.1/24" ]', /subnet of bridge "a" is like 10\.0\.2\.0\/24/],
      ['bridge = [ "name=a, subnet=10.1.0.0/16", "name=b, subnet=10.1.2.0/24" ]', /is another bridge's too/],
      ['bridge = [ "name=a, mtu=100" ]', /mtu of bridge "a" is from 1280 to 9000/],
      ['bridge = [ "name=a, dhcp=yes" ]', /dhcp of bridge "a" is 0 or 1, not "yes"/],
      ['bridge = [ "name=br0, host=1, dhcp=1" ]', /bridge "br0" is the host's own, so dhcp means nothing/],
      ['forward = [ "22 web" ]', /a forward is like "2222 web:22"/],
      ['bridge = "xenbr0"', /should be a list/],
      ['bridge = [', /syntax error/],
    ];
    for (const [text, message] of cases) assert.throws(() => parse(text), { name: 'XenError', message }, text);
  });

  it('is read from where the environment says, and then has to be there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-network-'));
    const path = join(folder, 'n.cfg');
    assert.throws(() => readNetworkConfig({ XENOLITH_NETWORK_CONFIG: path }), /cannot read the configuration/);
    writeFileSync(path, 'bridge = [ "name=lan" ]\n');
    assert.deepEqual(
      readNetworkConfig({ XENOLITH_NETWORK_CONFIG: path }).bridges.map(({ name }) => name),
      ['xenbr0', 'lan'],
    );
    rmSync(folder, { recursive: true });
  });

  it('never fails but with a sentence', () => {
    const part = fc.constantFrom(
      'name=a',
      'subnet=10.0.0.0/8',
      ',',
      '=',
      'mtu=',
      'bridge = [',
      ']',
      '"',
      '\n',
      'forward',
      '1 a:2',
      'resolver=::',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        try {
          parse(parts.join(''));
        } catch (error) {
          assert.ok(error instanceof XenError && error.message.includes('network.cfg'), String(error));
        }
      }),
    );
  });
});

describe('a port forward', () => {
  it('is read and written in all its forms', () => {
    for (const [text, full] of [
      ['22', 'tcp:127.0.0.1:22'],
      ['udp:53', 'udp:127.0.0.1:53'],
      ['*:80', 'tcp:0.0.0.0:80'],
      ['tcp:[::1]:80', 'tcp:[::1]:80'],
    ] as const)
      assert.equal(formatHostPort(parseHostPort(text) ?? assert.fail(text)), full);
    for (const text of ['web:22', '10.0.2.15:80', '[fd00:a00:200::15]:80'])
      assert.equal(formatGuestPort(parseGuestPort(text) ?? assert.fail(text)), text);
  });

  it('is refused when it is none', () => {
    for (const text of ['', 'x', '70000', 'sctp:1', '1.2.3:4', '::1:80', '[::x]:80'])
      assert.equal(parseHostPort(text), undefined, text);
    for (const text of ['', 'web', ':22', 'web:', 'web:0', 'fd00::1:22', '[web]:22'])
      assert.equal(parseGuestPort(text), undefined, text);
  });
});
