import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Printed } from '../guest/console-text.ts';
import type { Run } from '../peers/peer.ts';
import { readingOf } from './reading.ts';

/** The program's two lines, arriving `host` seconds apart. */
function run(host: number, end: string): Run {
  const begin = '\r\r\n@begin\r\r\n';
  const printed = new Printed(`${begin}${end}\r\r\n`, [
    { end: begin.length, at: 5000 },
    { end: 1000, at: 5000 + host * 1000 },
  ]);
  return { printed, share: 0.5 };
}

describe('a run of a program', () => {
  it('is reckoned by the guest’s clock while that agrees with the host’s', () => {
    const reading = readingOf(run(2.02, '@end 3000 2.000000'));
    assert.deepEqual(reading, { units: 3000, seconds: 2, guest: 2, host: reading.host, share: 0.5 });
  });

  it('is reckoned by the host’s clock when the guest’s runs slow or fast', () => {
    for (const guest of ['1.000000', '3.000000']) {
      const { seconds, host } = readingOf(run(2, `@end 3000 ${guest}`));
      assert.equal(seconds, host);
      assert.ok(Math.abs(seconds - 2) < 1e-9);
    }
  });

  it('fails with what was printed when the program did', () => {
    assert.throws(() => readingOf(run(1, 'sh: /bench/copy: not found')), /copy: not found/);
  });
});
