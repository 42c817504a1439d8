/** What the host's kernel says was written is what was written, by whomever. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { GuestFrames } from '../../hypervisor/control.ts';
import { readCached } from './page-cache.ts';
import { watchWrites } from './write-watch.ts';

const COUNT = 600;

function frames(): GuestFrames {
  const memory = new WebAssembly.Memory({ initial: 48, maximum: 48, shared: true });
  const base = 3 * PAGE_SIZE;
  const bytes = (address: number, length: number): Uint8Array => new Uint8Array(memory.buffer, base + address, length);
  return {
    base,
    count: COUNT,
    dataView: new DataView(memory.buffer),
    has: (mfn) => mfn < COUNT,
    view: (mfn) => bytes(mfn * PAGE_SIZE, PAGE_SIZE),
    bytes,
    wrote: () => undefined,
  };
}

describe('the pages that are written', () => {
  const memory = frames();
  for (let mfn = 0; mfn < COUNT; mfn += 2) memory.view(mfn).fill(mfn);
  const watch = watchWrites(memory);
  const skip = watch === undefined ? 'the kernel of this machine cannot tell (Linux 6.7 or later can)' : false;
  const written = (): number[] => {
    const found: number[] = [];
    const known = watch?.written((first, count) => {
      for (let mfn = first; mfn < first + count; mfn++) found.push(mfn);
    });
    assert.ok(known);
    return found;
  };

  it('are none at first', { skip }, () => assert.deepEqual(written(), []));

  it('are told once, also those that nobody had written before', { skip }, () => {
    memory.view(0)[17] = 1;
    memory.view(255)[0] = 1;
    memory.bytes(298 * PAGE_SIZE, 3 * PAGE_SIZE).fill(2);
    memory.view(COUNT - 1)[PAGE_SIZE - 1] = 0;
    assert.equal(memory.view(400)[5], 400 & 0xff);
    assert.deepEqual(written(), [0, 255, 298, 299, 300, COUNT - 1]);
    assert.deepEqual(written(), []);
  });

  it('are those that the kernel writes, too', { skip }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-watch-'));
    const file = join(folder, 'file');
    writeFileSync(file, new Uint8Array(4 * PAGE_SIZE).fill(9));
    const fd = openSync(file, 'r');
    rmSync(folder, { recursive: true });
    readSync(fd, memory.bytes(100 * PAGE_SIZE, 2 * PAGE_SIZE), 0, 2 * PAGE_SIZE, 0);
    assert.ok(readCached(fd, 0, [memory.view(150)]));
    closeSync(fd);
    assert.deepEqual(written(), [100, 101, 150]);
    assert.equal(memory.view(150)[0], 9);
  });

  it('are more than one call can tell', { skip }, () => {
    for (let mfn = 1; mfn < COUNT; mfn += 2) memory.view(mfn)[0] = 1;
    assert.equal(written().length, COUNT / 2);
  });

  it('are nobody’s business after the end', { skip }, () => {
    watch?.end();
    memory.view(7)[0] = 3;
    assert.equal(memory.view(7)[0], 3);
  });
});
