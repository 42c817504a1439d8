import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { formatIp } from '../packet/addresses.ts';
import { answer, question, TYPES, type Answer } from '../testing/dns.ts';
import { readAddresses, readQuestion, refusal, type Question } from './dns-message.ts';
import { OpenedAddresses } from './opened-addresses.ts';

function asked(bytes: Uint8Array): Question {
  const read = readQuestion(bytes);
  return typeof read === 'number' ? assert.fail(`refused: ${read}`) : read;
}

const found = (bytes: Uint8Array, to: Question): string[] =>
  readAddresses(bytes, to).map(({ address, ttl }) => `${formatIp(address)} ${ttl}`);

describe('a question for a name', () => {
  it('is read, and asked without what else was in it', () => {
    const bytes = Uint8Array.of(
      ...question('Deb.Debian.ORG', TYPES.AAAA),
      0,
      0,
      41,
      0xff,
      0xff,
      0,
      0,
      0x80,
      1,
      0,
      2,
      9,
      9,
    );
    bytes.set([1, 0x30], 2);
    bytes[11] = 1;
    const { name, type, message } = asked(bytes);
    assert.deepEqual([name, type], ['deb.debian.org', TYPES.AAAA]);
    const plain = question('Deb.Debian.ORG', TYPES.AAAA);
    plain[11] = 1;
    assert.deepEqual(message, Uint8Array.of(...plain, 0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0));
    assert.equal(asked(Uint8Array.of(...question('a'), 1, 2, 3)).message.length, question('a').length);
  });

  it('is refused when it is something else, and told so in few bytes', () => {
    const change = (at: number, ...to: number[]): Uint8Array => {
      const bytes = question('a.example');
      bytes.set(to, at);
      return bytes;
    };
    const cases: readonly [Uint8Array, number][] = [
      [change(2, 0x81), 1],
      [change(2, 0x28), 1],
      [change(5, 2), 1],
      [change(7, 1), 1],
      [change(12, 0xc0, 12), 1],
      [change(12, 70), 1],
      [change(question('a.example').length - 1, 3), 5],
      [question('a.example').subarray(0, 20), 1],
      [new Uint8Array(3), 1],
    ];
    for (const [bytes, code] of cases) {
      assert.equal(readQuestion(bytes), code);
      const told = refusal(bytes, code);
      assert.ok(told.length <= Math.max(bytes.length, 12));
      assert.deepEqual([(told[2] ?? 0) & 0x80, (told[3] ?? 0) & 15], [0x80, code]);
    }
  });
});

describe('an answer', () => {
  it('gives the addresses of the name and of what it is another name of, and no others', () => {
    const to = asked(question('www.example'));
    const records: Answer[] = [
      ['other.example', '192.0.2.66', 60],
      ['www.example', 'cdn.example', 60],
      ['cdn.example', '192.0.2.1', 30],
      ['CDN.example', '2001:db8::1', 40],
      ['stranger.example', 'www.example', 60],
      ['stranger.example', '192.0.2.67', 60],
    ];
    assert.deepEqual(found(answer(to.message, records), to), ['192.0.2.1 30', '2001:db8::1 40']);
    assert.deepEqual(found(answer(question('other.example'), records), to), []);
    assert.deepEqual(found(answer(question('www.example', TYPES.TXT), records), to), []);
    assert.deepEqual(found(to.message, to), []);
  });

  it('and a question may be anything: what is read of them has an end', () => {
    const to = asked(question('a.b'));
    const whole = answer(to.message, [
      ['a.b', 'c.b', 60],
      ['c.b', '192.0.2.1', 60],
    ]);
    const change = fc.tuple(fc.nat(whole.length - 1), fc.constantFrom(0, 1, 12, 63, 64, 0xc0, 0xff));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.nat(whole.length), (changes, length) => {
        const bytes = whole.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        assert.ok(readAddresses(bytes, to).length <= 1);
        const read = readQuestion(bytes);
        if (typeof read !== 'number') assert.ok(read.message.length <= bytes.length);
        assert.ok(refusal(bytes, 1).length <= Math.max(12, bytes.length));
      }),
      fuzz(500),
    );
  });
});

describe('addresses that were told', () => {
  it('are open for their time, five minutes at least and a day at most, under each of their names', () => {
    const timers = new ManualTimers();
    const opened = new OpenedAddresses(timers);
    const address = Uint8Array.of(192, 0, 2, 1);
    const names = (): string[] => [...opened.namesOf(address)];
    opened.add('a', [{ address, ttl: 1 }]);
    opened.add('b', [{ address, ttl: 0xffffffff }]);
    opened.add('a', [{ address, ttl: 0 }]);
    timers.pass(299_000);
    assert.deepEqual(names().sort(), ['a', 'b']);
    timers.pass(2000);
    assert.deepEqual(names(), ['b']);
    timers.pass(86_400_000);
    assert.deepEqual(names(), []);
  });

  it('are not more than so many', () => {
    const opened = new OpenedAddresses(new ManualTimers());
    const address = (n: number): Uint8Array => Uint8Array.of(10, n >> 16, n >> 8, n);
    for (let n = 0; n < 3000; n++) opened.add(`n${n}`, [{ address: address(n), ttl: 60 }]);
    for (let n = 0; n < 100; n++) opened.add(`n${n}`, [{ address: address(5000), ttl: 60 }]);
    opened.add(
      'many',
      Array.from({ length: 500 }, (_, n) => ({ address: address(10_000 + n), ttl: 60 })),
    );
    assert.equal(opened.size, 1024);
    assert.equal([...opened.namesOf(address(5000))].length, 32);
    assert.deepEqual([...opened.namesOf(address(10_064))], []);
    assert.deepEqual([...opened.namesOf(address(10_063))], ['many']);
  });
});
