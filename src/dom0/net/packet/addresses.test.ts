import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { it } from 'node:test';
import fc from 'fast-check';
import { contains, formatIp, formatMac, hostAddress, macKey, parseIp, parseMac, parseSubnet } from './addresses.ts';

it('reads and writes MAC addresses', () => {
  const mac = parseMac('00:16:3E:0a:00:ff') ?? assert.fail();
  assert.equal(formatMac(mac), '00:16:3e:0a:00:ff');
  assert.equal(macKey(mac), 0x163e0a00ff);
  assert.equal(parseMac('00:16:3e:0a:00'), undefined);
});

it('writes IPv6 addresses in their one recommended form', () => {
  for (const text of ['::', '::1', 'fe80::2', '2001:db8::1:0:0:1', '2001:db8:0:1:1:1:1:1', '1::', '0:1:2:3:4:5:6:7'])
    assert.equal(formatIp(parseIp(text) ?? assert.fail(text)), text);
  assert.equal(formatIp(parseIp('::ffff:127.0.0.1') ?? assert.fail()), '::ffff:7f00:1');
});

it('takes for an address what others take for one, and gives it back', () => {
  const text = fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/));
  fc.assert(
    fc.property(text, (candidate) => {
      const bytes = parseIp(candidate);
      assert.equal(bytes !== undefined, isIPv4(candidate) || isIPv6(candidate), candidate);
      if (bytes) assert.deepEqual(parseIp(formatIp(bytes)), bytes);
    }),
  );
});

it('tells what lies in a subnet', () => {
  const subnet = parseSubnet('10.0.2.0/23') ?? assert.fail();
  const inside = (text: string): boolean => contains(subnet, parseIp(text) ?? assert.fail());
  assert.deepEqual(['10.0.2.1', '10.0.3.255', '10.0.4.0', '::1'].map(inside), [true, true, false, false]);
  assert.equal(parseSubnet('10.0.2.1/24'), undefined, 'bits beyond the prefix');
  assert.equal(parseSubnet('10.0.2.0/33'), undefined);
  assert.equal(formatIp(hostAddress(subnet, 258)), '10.0.3.2');
});
