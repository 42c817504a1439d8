/** A mapped file is there when it is looked at, and who writes to it waits until the memory does not depend on it any more. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { mapImage } from './map-image.ts';

const PAGE = 4096;
const COUNT = 64;
const PAGES = new Uint8Array(COUNT * PAGE).map((_, i) => Math.floor(i / PAGE) + 1);

describe('a saved domain’s file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-image-'));
  const path = join(folder, 'image');
  writeFileSync(path, PAGES);
  after(() => rmSync(folder, { recursive: true }));
  const fd = openSync(path, 'r');
  const image = mapImage(fd);
  closeSync(fd);
  const skip = image === undefined ? 'the file system of this machine gives no leases, or it is not Linux' : false;
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const bytes = (at: number, length: number): Uint8Array => new Uint8Array(memory.buffer, at, length);

  it('is mapped in whole pages, and not beyond its end', { skip }, () => {
    assert.equal(image?.map(bytes(100, PAGES.length), 0), false);
    assert.equal(image?.map(bytes(PAGE, PAGES.length), PAGE), false);
    assert.equal(image?.map(bytes(PAGE, PAGES.length), 0), true);
    assert.deepEqual(bytes(PAGE, PAGES.length), PAGES);
    bytes(5 * PAGE, 1)[0] = 99;
    assert.equal(readFileSync(path)[4 * PAGE], 5);
  });

  it('cannot be cut before the domain stands still, which keeps all it has', { skip }, async () => {
    let still = false;
    await new Promise<void>((resolve, reject) => {
      image?.settle({
        standStill(work) {
          still = true;
          assert.equal(readFileSync(path).length, PAGES.length);
          work();
          return Promise.resolve();
        },
        onError: reject,
      });
      spawn('sh', ['-c', 'echo gone > "$0"', path], { stdio: 'ignore' }).on('exit', () => resolve());
    });
    assert.equal(still, true);
    assert.equal(readFileSync(path, 'latin1'), 'gone\n');
    assert.equal(bytes(5 * PAGE, 1)[0], 99);
    bytes(5 * PAGE, 1)[0] = 5;
    assert.deepEqual(bytes(PAGE, PAGES.length), PAGES);
  });

  it('is nobody’s when it has been given up, though the memory is still there', { skip }, () => {
    writeFileSync(path, PAGES);
    const reader = openSync(path, 'r');
    const other = mapImage(reader);
    closeSync(reader);
    assert.equal(other?.map(bytes(PAGE, PAGES.length), 0), true);
    other.giveUp();
    // With a lease this would wait, and O_NONBLOCK makes it an error.
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    assert.deepEqual(bytes(PAGE, PAGES.length), new Uint8Array(PAGES.length));
  });

  it('is not mapped while somebody may write to it', { skip }, () => {
    const writer = openSync(path, 'r+');
    const reader = openSync(path, 'r');
    assert.equal(mapImage(reader), undefined);
    closeSync(reader);
    closeSync(writer);
  });
});
