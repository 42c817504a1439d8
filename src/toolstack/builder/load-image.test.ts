import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { cpioArchive } from '../guest-files/cpio.ts';
import { BuildError } from './build-error.ts';
import { loadPvImage, release } from './load-image.ts';
import { debianNotes, syntheticBzImage, syntheticElf } from './testing/synthetic-kernel.ts';

describe('loading the files of a PV domain', () => {
  let folder = '';
  const path = (name: string): string => join(folder, name);
  const save = async (name: string, bytes: Uint8Array | string): Promise<string> => {
    await writeFile(path(name), bytes);
    return path(name);
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'xenolith-'));
    await save('vmlinuz', syntheticBzImage(syntheticElf()));
  });
  after(() => rm(folder, { recursive: true }));

  const refusal = async (files: { kernel: string; ramdisk?: string }): Promise<BuildError> => {
    const error: unknown = await loadPvImage(files).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BuildError, String(error));
    return error;
  };

  it('reads a kernel and a ramdisk, and unpacks both', async () => {
    const archive = cpioArchive([{ path: 'init', kind: { type: 'file', content: Buffer.from('#!/bin/sh\n') } }]);
    const ramdisk = await save('initrd.gz', gzipSync(archive));
    const lines: string[] = [];
    const files = { kernel: path('vmlinuz'), ramdisk, cmdline: 'console=hvc0' };
    const image = await loadPvImage(files, (line) => lines.push(line));
    assert.equal(image.kernel.elf.load.length, 4);
    assert.equal(image.ramdisk?.unzipped?.length, archive.length);
    assert.equal(lines[0], 'domainbuilder: detail: xc_dom_allocate: cmdline="console=hvc0", features=""');
  });

  it('gives back at once what the files took', async () => {
    const ramdisk = await save('initrd', cpioArchive([{ path: 'etc', kind: { type: 'folder' } }]));
    const image = await loadPvImage({ kernel: path('vmlinuz'), ramdisk });
    assert.ok(image.kernel.elf.bytes.length > 0 && (image.ramdisk?.bytes.length ?? 0) > 0);
    release(image);
    assert.equal(image.kernel.elf.bytes.length, 0);
    assert.equal(image.ramdisk?.bytes.length, 0);
    release(image);
  });

  it('says in the words of xl that a file is missing', async () => {
    const kernel = await refusal({ kernel: '/nosuch/vmlinuz', ramdisk: '/nosuch/initrd' });
    assert.equal(
      kernel.lines[0],
      "xc: error: panic: xg_dom_core.c:205: failed to open file '/nosuch/vmlinuz': No such file or directory: Internal error",
    );
    assert.match(kernel.lines[1] ?? '', /xc_dom_kernel_file failed: No such file or directory$/);
    const ramdisk = await refusal({ kernel: path('vmlinuz'), ramdisk: '/nosuch/initrd' });
    assert.equal(
      ramdisk.lines[1],
      'libxl: error: libxl_dom.c:659:libxl__build_pv: xc_dom_ramdisk_file failed: No such file or directory',
    );
  });

  it('refuses a corrupt initramfs by its name', async () => {
    const ramdisk = await save('corrupt.gz', gzipSync('x'.repeat(1000)).subarray(0, 20));
    const error = await refusal({ kernel: path('vmlinuz'), ramdisk });
    assert.match(
      error.message,
      /^ramdisk '.*corrupt\.gz' is not a usable initramfs: gzip data is damaged or ends early/,
    );
  });

  it('passes any module to systems other than Linux', async () => {
    const kernel = await save('other', syntheticElf({ notes: { ...debianNotes, GUEST_OS: 'NetBSD' } }));
    const ramdisk = await save('menu.lst', 'default 0\n');
    const image = await loadPvImage({ kernel, ramdisk });
    assert.equal(image.ramdisk?.bytes.length, 10);
  });

  it('says what is wrong with a payload that was unpacked in the other thread', async () => {
    const image = syntheticBzImage(syntheticElf());
    image.fill(0x55, 0xd00, 0xd40);
    const error = await refusal({ kernel: await save('damaged', image) });
    assert.match(error.hint ?? '', /payload of the bzImage cannot be unpacked: gzip data/);
  });
});
