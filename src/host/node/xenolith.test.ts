import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as sources from './xenolith.ts';

describe('the npm API', () => {
  it('has in the package what it has in the sources', async () => {
    const entry = (await import(new URL('../../../index.js', import.meta.url).href)) as object;
    assert.deepEqual(Object.keys(entry).sort(), Object.keys(sources).sort());
  });
});
