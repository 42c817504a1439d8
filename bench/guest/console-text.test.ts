import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConsoleText } from './console-text.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('the text of a console', () => {
  it('is taken up to what was waited for, whatever pieces it came in', async () => {
    const text = new ConsoleText();
    const first = text.expect('lo wo', 1000);
    for (const piece of ['hel', 'lo', ' world']) text.feed(bytes(piece));
    assert.equal((await first).text, 'hel');
    text.end();
    assert.equal((await text.expect('d', 1000)).text, 'rl');
  });

  it('knows when each of its pieces arrived', async () => {
    const text = new ConsoleText();
    text.feed(bytes('skipped '));
    await text.expect('skipped', 1000);
    const before = performance.now();
    text.feed(bytes('one '));
    const between = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 2));
    text.feed(bytes('two end'));
    const printed = await text.expect('end', 1000);
    const [one, two] = [printed.arrived(printed.text.indexOf('one')), printed.arrived(printed.text.indexOf('two'))];
    assert.ok(one >= before && one <= between);
    assert.ok(two > between);
  });

  it('says what was missed, and the last words, when the console ends', async () => {
    const text = new ConsoleText();
    const missed = text.expect('login', 1000);
    text.feed(bytes('Kernel panic'));
    text.end();
    await assert.rejects(missed, /waited for "login" of the guest: the console ended.*\nKernel panic/);
  });

  it('gives up when the patience ends', async () => {
    await assert.rejects(new ConsoleText().expect('login', 0), /did not come in 0 s/);
  });
});
