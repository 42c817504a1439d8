import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import { parseIp } from '../packet/addresses.ts';
import {
  compileRules,
  EgressError,
  formatEgress,
  matchesAddress,
  matchesName,
  matchesWay,
  parseEgress,
  type CompiledRule,
  type EgressRule,
} from './egress-rules.ts';

function only(rule: EgressRule): CompiledRule {
  return compileRules({ default: 'deny', allow: [rule] })?.[0] ?? assert.fail();
}

describe('egress rules', () => {
  it('are written as they are read', () => {
    const cases: readonly [string, EgressRule][] = [
      ['deb.debian.org:80', { domain: 'deb.debian.org', ports: [80] }],
      ['*.example.org:443+8000-8100', { domain: '*.example.org', ports: [443, '8000-8100'] }],
      ['*', { domain: '*' }],
      ['10.0.0.0/8', { address: '10.0.0.0/8' }],
      ['udp:192.0.2.1:53', { address: '192.0.2.1', protocol: 'udp', ports: [53] }],
      ['[2001:db8::/32]:443', { address: '2001:db8::/32', ports: [443] }],
      ['tcp:[fd00::1]', { address: 'fd00::1', protocol: 'tcp' }],
    ];
    const text = cases.map(([word]) => word).join(' ');
    const rules = parseEgress(`  ${text} `);
    assert.deepEqual(rules, { default: 'deny', allow: cases.map(([, rule]) => rule) });
    assert.equal(formatEgress(rules), text);
    assert.deepEqual(parseEgress('fd00::1'), { default: 'deny', allow: [{ address: 'fd00::1' }] });
    for (const word of ['all', 'none']) assert.equal(formatEgress(parseEgress(word)), word);
  });

  it('that cannot be are refused in a sentence', () => {
    const cases: readonly [string, RegExp][] = [
      ['', /no rules; "none" allows nothing/],
      ['10.0.0.1/8', /neither an address nor a network/],
      ['300.1.1.1', /neither an address nor a network/],
      ['a.example:0', /"0" is neither a port nor a range/],
      ['a.example:80-70', /"80-70" is neither/],
      ['a.example:70000', /neither a port/],
      ['exämple.org', /"exämple.org" is no domain name; write it as it is on the wire, with xn--/],
      ['a..b', /"a..b" is no domain name/],
      ['a.*.b', /no domain name/],
      ['http://example.org', /"http:\/\/example\.org" is neither an address/],
      [Array.from({ length: 129 }, (_, n) => `a${n}`).join(' '), /more than 128 rules/],
      ['a'.repeat(4000), /more than 3500 letters/],
    ];
    for (const [text, message] of cases) {
      assert.throws(
        () => parseEgress(text),
        (error) => error instanceof EgressError && message.test(error.message),
        text,
      );
    }
  });

  it('for names match as their letters say', () => {
    const label = fc.constantFrom('a', 'b', 'example', 'org', 'x-1');
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(name, fc.boolean(), name, (pattern, below, asked) => {
        const rule = only({ domain: `${below ? '*.' : ''}${pattern.toUpperCase()}.` });
        const wanted = pattern.split('.');
        const labels = asked.split('.');
        const isTail = labels.slice(-wanted.length).join('.') === pattern;
        assert.equal(
          matchesName(rule, asked),
          isTail && (below ? labels.length > wanted.length : labels.length === wanted.length),
        );
        assert.equal(matchesName(only({ domain: '*' }), asked), true);
        assert.equal(matchesName(only({ address: '0.0.0.0/0' }), asked), false);
      }),
      fuzz(300),
    );
  });

  it('for networks match by their bits, and by their ports', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(32),
        fc.nat(),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(10),
        (base, prefix, other, first, port) => {
          const mask = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
          const bytesOf = (number: number): Uint8Array =>
            Uint8Array.from([24, 16, 8, 0], (shift) => (number >>> shift) & 255);
          const network = (base & mask) >>> 0;
          const rule = only({ address: `${bytesOf(network).join('.')}/${prefix}`, ports: [`${first}-9`] });
          assert.equal(matchesAddress(rule, bytesOf(other)), (other & mask) >>> 0 === network);
          assert.equal(matchesWay(rule, 'tcp', port), port >= first && port <= 9);
          assert.equal(matchesWay(rule, 'other', undefined), false);
        },
      ),
      fuzz(300),
    );
    assert.equal(matchesAddress(only({ address: '::/0' }), parseIp('10.0.0.1') ?? assert.fail()), false);
    assert.deepEqual(
      [
        matchesWay(only({ domain: 'a', protocol: 'udp' }), 'tcp', 1),
        matchesWay(only({ domain: 'a' }), 'other', undefined),
      ],
      [false, true],
    );
  });
});
