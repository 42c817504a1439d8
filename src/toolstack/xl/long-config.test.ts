/** Configurations that are longer than any a person writes: they come through whole, or are refused with a sentence. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { MemorySource } from '../migration/byte-stream.ts';
import { readSaveFileHeader, saveFileHeader } from '../migration/save-file.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
before(() => test.start());
after(() => test.close());

const LONG = 'a long line of words '.repeat(3000);

describe('a long configuration', () => {
  it('makes a domain, and is told as it was', async () => {
    const comments = '# a comment\n'.repeat(20_000);
    const { code, err } = await test.xl('create', '-q', test.config('long', `${comments}extra = "${LONG}"`));
    assert.deepEqual([code, err], [0, '']);
    const { out } = await test.xl('list', '-l', 'long');
    const [domain] = JSON.parse(out) as { config: { b_info: { cmdline?: string; extra?: string } } }[];
    assert.ok(JSON.stringify(domain).includes(LONG));
  });

  it('is in front of a saved domain, and is read again', async () => {
    const text = `{ "c_info": { "name": "${LONG}" } }\n`;
    const { bytes } = saveFileHeader(text);
    assert.equal((await readSaveFileHeader(new MemorySource(bytes))).text, text);
  });

  it('has no text of more than the daemon keeps', async () => {
    const { code, err } = await test.xl('create', '-q', test.config('wordy', `extra = "${LONG}${LONG}"`));
    assert.deepEqual([code, err], [1, 'cmdline is too long: 126000 characters, of 65536 at most\n']);
  });

  it('is refused with a sentence where it is longer than xl sends, and the daemon goes on', async () => {
    const tooLong = test.config('longer', `extra = "${LONG.repeat(20)}"`);
    const made = await test.xl('create', '-q', tooLong);
    assert.notEqual(made.code, 0);
    assert.match(made.err, /^.*too long.*\n$/);
    const saved = test.path('longer.save');
    writeFileSync(saved, saveFileHeader(JSON.stringify({ c_info: { name: LONG.repeat(20) } })).bytes);
    const restored = await test.xl('restore', saved);
    assert.equal(restored.code, 1);
    assert.match(
      restored.err,
      /Failed to parse the configuration of the saved domain: its \d+ characters are more than any has\n$/,
    );
    assert.match((await test.xl('list')).out, /^long /m);
  });
});
