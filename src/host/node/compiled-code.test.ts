import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { boundCompiledCode } from './compiled-code.ts';

describe('the folder of compiled code', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-compiled-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('loses its oldest half when it has grown too large, and nothing before', () => {
    for (let age = 0; age < 10; age++) {
      const path = join(folder, `entry${age}`);
      writeFileSync(path, Buffer.alloc(100));
      utimesSync(path, 1000 - age, 1000 - age);
    }
    boundCompiledCode(folder, 1000);
    assert.equal(readdirSync(folder).length, 10);
    boundCompiledCode(folder, 999);
    assert.deepEqual(readdirSync(folder).sort(), ['entry0', 'entry1', 'entry2', 'entry3']);
  });
});
