import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { DiskError, DiskImages, openDisk, type Disk } from '../../dom0/disk/index.ts';
import { createQcow2 } from '../../dom0/disk/qcow2/create.ts';
import { nodeDiskHost as host } from './disk-files.ts';

describe('an image file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-disk-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = (name: string) => join(folder, name);
  const fails = (code: string) => (error: unknown) => error instanceof DiskError && error.code === code;

  it('is read and written in place in shared memory, in more segments than one call takes', async () => {
    const file = await host.create(path('shared'));
    const memory = new WebAssembly.Memory({ initial: 20, maximum: 20, shared: true });
    const page = (index: number) => new Uint8Array(memory.buffer, index * 512, 512);
    const pages = Array.from({ length: 1200 }, (_, index) => page(index).fill(index % 251));
    await file.write(512, [new Uint8Array(0), ...pages]);
    for (const one of pages) one.fill(255);
    await file.read(512, pages);
    assert.deepEqual(
      pages.map((one) => [one[0], one[511]]),
      pages.map((_, index) => [index % 251, index % 251]),
    );
    await file.close();
    assert.equal(statSync(path('shared')).size, 512 * 1201);
  });

  it('reads as zeroes beyond its end', async () => {
    writeFileSync(path('short'), 'short');
    const file = await host.open(path('short'), { readOnly: true });
    const into = [new Uint8Array(2).fill(1), new Uint8Array(6).fill(1)];
    await file.read(1, into);
    assert.deepEqual(into, [new Uint8Array([104, 111]), new Uint8Array([114, 116, 0, 0, 0, 0])]);
    await file.close();
  });

  it('has one writer and no reader beside it, but one who looks', async () => {
    writeFileSync(path('locked'), '');
    const writer = await host.open(path('locked'), { readOnly: false });
    await assert.rejects(host.open(path('locked'), { readOnly: false }), fails('EBUSY'));
    await assert.rejects(host.open(path('locked'), { readOnly: true }), fails('EBUSY'));
    await (await host.open(path('locked'), { readOnly: true, shared: true })).close();
    await writer.close();
    const readers = [true, true].map((readOnly) => host.open(path('locked'), { readOnly }));
    await assert.rejects(host.open(path('locked'), { readOnly: false }), fails('EBUSY'));
    for (const reader of readers) await (await reader).close();
    await (await host.open(path('locked'), { readOnly: false })).close();
  });

  it('is not made over one that exists, unless that is wanted', async () => {
    writeFileSync(path('there'), 'something');
    await assert.rejects(host.create(path('there')), fails('EEXIST'));
    assert.equal(readFileSync(path('there'), 'utf8'), 'something');
    await (await host.create(path('there'), { overwrite: true })).close();
    assert.equal(statSync(path('there')).size, 0);
  });

  it('that is not there, or is a folder, is refused in a sentence', async () => {
    await assert.rejects(
      host.open(path('nothing'), { readOnly: true }),
      /cannot open .*nothing: there is no such file/,
    );
    await assert.rejects(host.open(folder, { readOnly: true }), /is neither a file nor a block device/);
    await assert.rejects(host.open('/dev/zero', { readOnly: true }), /is neither a file nor a block device/);
  });

  it('is a raw disk of whole sectors', async () => {
    writeFileSync(path('raw'), new Uint8Array(1000).fill(7));
    const disk = await openDisk(host, path('raw'), { format: 'raw', readOnly: false });
    assert.equal(disk.size, 1024);
    const sector = new Uint8Array(512);
    await disk.read(512, [sector]);
    assert.deepEqual(sector, new Uint8Array(512).fill(7, 0, 488));
    await assert.rejects(disk.read(1024, [sector]), fails('EINVAL'));
    await assert.rejects(disk.write(100, [sector]), fails('EINVAL'));
    await assert.rejects(disk.read(0, [new Uint8Array(100)]), fails('EINVAL'));
    await disk.writeZeroes(0, 512);
    await disk.flush();
    await disk.close();
    await assert.rejects(disk.read(0, [sector]), fails('EBADF'));
    assert.deepEqual(readFileSync(path('raw')), Buffer.alloc(1000).fill(7, 512));
  });

  it('gives the space of what is discarded back to the host, where that has holes', async (t) => {
    writeFileSync(path('sparse'), new Uint8Array(4 * 2 ** 20).fill(5));
    const disk = await openDisk(host, path('sparse'), { format: 'raw', readOnly: false });
    if (disk.discardGranularity === 0) {
      await disk.discard(0, 65536);
      await disk.close();
      return t.skip('the filesystem has no holes');
    }
    await disk.flush();
    const before = statSync(path('sparse')).blocks;
    await disk.discard(2 ** 20, 2 * 2 ** 20 + 512);
    const into = [new Uint8Array(2048)];
    await disk.read(3 * 2 ** 20, into);
    assert.deepEqual(into, [new Uint8Array(2048).fill(5, 512)]);
    await disk.close();
    const { blocks, size } = statSync(path('sparse'));
    assert.ok(blocks <= before - 4096, `${blocks} blocks after, ${before} before`);
    assert.equal(size, 4 * 2 ** 20);
  });

  it('keeps what is being written at its end when it is asked whether it has holes', async () => {
    for (let round = 0; round < 300; round++) {
      const file = await host.create(path(`growing-${round}`));
      const content = new Uint8Array(4096).fill(1 + (round % 255));
      const writing = file.write(0, [content]);
      // On the way of the write to another thread and through the filesystem.
      for (let spin = 0; spin < round * 200; spin++) void file.kind;
      void file.punches;
      await writing;
      await file.close();
      assert.deepEqual(readFileSync(file.path), Buffer.from(content), `round ${round}`);
      rmSync(file.path);
    }
  });

  it('of qcow2 gives back the clusters that nothing refers to any more', async (t) => {
    const made = await host.create(path('qcow2'));
    await createQcow2(made, { size: 16 * 2 ** 20 });
    if (!made.punches) return t.skip('the filesystem has no holes');
    await made.close();
    const disk = await openDisk(host, path('qcow2'), { format: 'qcow2', readOnly: false });
    await disk.write(0, [new Uint8Array(4 * 2 ** 20).fill(1)]);
    await disk.flush();
    const before = statSync(path('qcow2')).blocks;
    await disk.discard(2 ** 20, 2 * 2 ** 20);
    await disk.flush();
    const { blocks } = statSync(path('qcow2'));
    assert.ok(blocks <= before - 4000, `${blocks} blocks after, ${before} before`);
    const into = [new Uint8Array(2)];
    await disk.read(2 ** 20 - 512, [new Uint8Array(510), ...into, new Uint8Array(512)]);
    assert.deepEqual(into, [Uint8Array.of(1, 1)]);
    await disk.close();
  });

  it('is read and written at once in whole pages of shared memory, what is in the page cache', async (t) => {
    writeFileSync(path('cached'), new Uint8Array(65536).fill(3));
    const disk = await openDisk(host, path('cached'), { format: 'raw', readOnly: false });
    const memory = new Uint8Array(new SharedArrayBuffer(8192));
    const now = disk.readNow?.(4096, [memory]) === true;
    if (now) assert.ok(memory.every((byte) => byte === 3));
    assert.equal(disk.writeNow?.(512, [memory.fill(9, 0, 512).subarray(0, 512)]), false, 'part of a page');
    assert.equal(disk.writeNow?.(65536, [memory]), false, 'beyond the end');
    // A machine with much other work may be slow, and then it is left to threads.
    const written = disk.writeNow?.(8192, [memory]) === true || (await disk.write(8192, [memory]), true);
    assert.ok(written);
    await disk.close();
    assert.equal(readFileSync(path('cached'))[8192], 9);
    if (!now) t.skip('this system has no such read');
  });

  it('under an overlay stays as it is, and so does what a snapshot shows of it; temporary files go', async () => {
    const layers = join(folder, 'layers');
    mkdirSync(layers);
    writeFileSync(path('origin'), new Uint8Array(2 ** 20).fill(1));
    const images = new DiskImages(host, layers);
    const origin = await images.open(path('origin'), { format: 'raw', readOnly: false });
    const snapshot = await images.snapshot(path('origin'), 'raw');
    const name = await images.createOverlay('xvda', snapshot);
    const overlay = await images.open(name, { format: 'raw', readOnly: false });
    const page = [new Uint8Array(new SharedArrayBuffer(4096))];
    const firstOf = async (disk: Disk, at: number) => {
      if (disk.readNow?.(at, page) !== true) await disk.read(at, page);
      return page[0]?.[0];
    };
    const fill = (byte: number) => [new Uint8Array(4096).fill(byte)];
    await origin.write(0, fill(2));
    assert.equal(overlay.writeNow?.(4096, fill(3)), true);
    await overlay.discard(8192, 4096);
    assert.deepEqual([await firstOf(origin, 0), await firstOf(origin, 4096), await firstOf(origin, 8192)], [2, 1, 1]);
    assert.deepEqual([await firstOf(snapshot, 0), await firstOf(snapshot, 4096)], [1, 1]);
    const discarded = overlay.discardGranularity > 0 ? 0 : 1;
    assert.deepEqual(
      [await firstOf(overlay, 0), await firstOf(overlay, 4096), await firstOf(overlay, 8192)],
      [1, 3, discarded],
    );
    assert.ok(statSync(name).blocks * 512 <= 65536);
    assert.equal(readdirSync(layers).length, 2);
    await images.removeOverlay(name);
    await Promise.all([overlay.close(), snapshot.close(), origin.close()]);
    assert.deepEqual(readdirSync(layers), []);
    assert.equal(readFileSync(path('origin'))[0], 2);
  });
});
