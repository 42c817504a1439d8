import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { manualPage, markdownPage } from './reference.ts';

const docs = new URL('../../../docs/', import.meta.url);
const hint = '`npm run docs` writes it';

describe('the reference of xl', () => {
  it('is what the commands say, as a page and in the manual', () => {
    assert.equal(readFileSync(new URL('xl-commands.md', docs), 'utf8'), markdownPage(), hint);
    assert.equal(readFileSync(new URL('man/xl.1', docs), 'utf8'), manualPage(), hint);
  });

  it('has no line that a formatter would take for a request', () => {
    const requests = new Set(['TH', 'SH', 'SS', 'B', 'RB', 'I', 'RI', 'BR', 'PP', 'TP', 'nf', 'fi']);
    for (const line of manualPage().split('\n'))
      if (/^[.']/.test(line)) assert.ok(requests.has(/^\.(\w+)/.exec(line)?.[1] ?? ''), line);
  });
});
