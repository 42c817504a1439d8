import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { apiReference, folder } from './api-reference.ts';

describe('the pages of the npm API', () => {
  const { pages, missing } = apiReference();

  it('are what the sources say', () => {
    const written = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const);
    assert.deepEqual(new Map(written), new Map([...pages].sort()), '`npm run docs` writes them');
  });

  it('tell of everything, and name nothing that a program cannot have', () => {
    assert.deepEqual(missing, []);
  });

  it('have links that lead somewhere', () => {
    for (const [page, text] of pages)
      for (const [link, name = '', anchor = ''] of text.matchAll(/\]\(([\w-]*(?:\.md)?)#([\w-]+)\)/g)) {
        const target = pages.get(name === '' ? page : name) ?? '';
        const headings = [...target.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase());
        assert.ok(headings.includes(anchor), `${page}: ${link}`);
      }
  });
});
