import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { DiskError, openDisk } from '../../dom0/disk/index.ts';
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
});
