import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readCached } from './page-cache.ts';

describe('a read of the page cache', { skip: process.platform !== 'linux' && 'needs Linux' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-cached-'));
  after(() => rmSync(folder, { recursive: true }));
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const at = (offset: number, length: number) => new Uint8Array(memory.buffer, offset, length);

  const withFile = (content: Uint8Array, body: (fd: number) => void): void => {
    const path = join(folder, 'file');
    writeFileSync(path, content);
    const fd = openSync(path, 'r');
    try {
      body(fd);
    } finally {
      closeSync(fd);
    }
  };

  it('fills pieces of shared memory', () => {
    const content = Uint8Array.from({ length: 16384 }, (_, i) => (i >> 8) ^ i);
    withFile(content, (fd) => {
      const pieces = [at(512, 512), at(65536, 4096), at(4096, 512)];
      assert.equal(readCached(fd, 1024, pieces), true);
      assert.deepEqual(Buffer.concat(pieces), Buffer.from(content.subarray(1024, 1024 + 5120)));
      assert.equal(readCached(fd, 0, []), true);
    });
  });

  it('is none of what lies behind the end, of memory that can move, or of too many pieces', () => {
    withFile(new Uint8Array(8192), (fd) => {
      assert.equal(readCached(fd, 4096, [at(0, 8192)]), false);
      assert.equal(readCached(fd, 2 ** 40, [at(0, 512)]), false);
      assert.equal(readCached(fd, 0, [new Uint8Array(512)]), false);
      assert.equal(readCached(fd, 0, new Array<Uint8Array>(600).fill(at(0, 1))), false);
    });
  });

  it('is none of a file that cannot be read', () => {
    const fd = openSync(join(folder, 'written'), 'w');
    assert.equal(readCached(fd, 0, [at(0, 512)]), false);
    closeSync(fd);
  });
});
