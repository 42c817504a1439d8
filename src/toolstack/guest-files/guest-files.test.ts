import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { inspectRamdisk } from '../builder/ramdisk.ts';
import { cpioArchive } from './cpio.ts';
import { GuestFilesError } from './guest-files-error.ts';
import { guestFiles } from './guest-files.ts';
import { deb, fakeApt, kernelModule } from './testing/synthetic-package.ts';

const RELEASE = '6.1.0-9-amd64';
const MODULES = `./lib/modules/${RELEASE}/kernel`;

const kernelDeb = deb([
  { name: `./boot/System.map-${RELEASE}`, content: 'x' },
  { name: `./boot/vmlinuz-${RELEASE}`, content: 'the kernel' },
  // A dependency that comes before the module that shows the need for it.
  { name: `${MODULES}/arch/crc16.ko`, content: kernelModule(['name=crc16', 'depends=']) },
  {
    name: `${MODULES}/drivers/xen-netfront.ko`,
    content: kernelModule(['alias=xen:vif', 'depends=', 'name=xen_netfront']),
  },
  { name: `${MODULES}/drivers/other.ko`, content: kernelModule(['depends=']) },
  { name: `${MODULES}/fs/ext4.ko.gz`, content: gzipSync(kernelModule(['depends=jbd2,crc16'])) },
  { name: `${MODULES}/fs/jbd2.ko`, content: kernelModule(['depends=']) },
]);
const kernelDeb32 = deb([{ name: `./boot/vmlinuz-${RELEASE}`, content: 'the 32-bit kernel' }]);
const busyboxDeb = deb([{ name: './bin/busybox', content: 'ELF of busybox' }]);
/** Makes no programs of C, and so no difference to these tests. */
const compiler = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho ELF of the agent > "$2"\n';
const compilerDeb = deb([{ name: './usr/bin/tcc', content: compiler }]);
const compiles = process.platform === 'linux' && process.arch === 'x64';

describe('files for a guest', () => {
  let folder = '';
  const path = process.env['PATH'] ?? '';
  before(async () => void (folder = await mkdtemp(join(tmpdir(), 'xenolith-'))));
  after(async () => {
    process.env['PATH'] = path;
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    await rm(join(folder, 'calls'), { force: true });
    const bin = await fakeApt(folder, {
      'linux-image-amd64': { version: '6.1.9', depends: 'libc6, linux-image-6.1.0-9-amd64 (= 6.1.9-1)' },
      'linux-image-6.1.0-9-amd64': { version: '6.1.9-1', depends: 'kmod', deb: kernelDeb },
      'linux-image-empty': { version: '1', deb: deb([]) },
      'linux-image-broken': { version: '1', deb: kernelDeb.subarray(0, kernelDeb.length - 100) },
      'busybox-static': { version: '1:1.35', deb: busyboxDeb },
      tcc: { version: '0.9', deb: compilerDeb },
      'linux-image-amd64:i386': { version: '6.1.9-1', deb: kernelDeb32 },
      'busybox-static:i386': { version: '1:1.35', deb: deb([{ name: './bin/busybox', content: 'ELF32 of busybox' }]) },
    });
    process.env['PATH'] = `${bin}:${path}`;
  });
  const calls = async (): Promise<string> => readFile(join(folder, 'calls'), 'utf8').catch(() => '');

  it('come from the package that a meta package stands for', async () => {
    const steps = new Set<string>();
    const files = await guestFiles({
      package: 'linux-image-amd64',
      cache: join(folder, 'cache'),
      onProgress: ({ step }) => steps.add(step),
    });
    assert.equal(files.release, RELEASE);
    assert.equal(await readFile(files.kernel, 'utf8'), 'the kernel');
    assert.deepEqual(
      [...steps],
      [
        'downloading linux-image-6.1.0-9-amd64 6.1.9-1',
        'unpacking linux-image-6.1.0-9-amd64',
        'downloading busybox-static 1:1.35',
        ...(compiles ? ['downloading tcc 0.9'] : []),
        'building the initramfs',
      ],
    );
  });

  it('hold the wanted modules, what those depend on, and the indexes for modprobe', async () => {
    const { ramdisk } = await guestFiles({ package: 'linux-image-amd64', cache: join(folder, 'cache') });
    const archive = await readFile(ramdisk);
    inspectRamdisk(archive);
    const names = [...archive.toString('latin1').matchAll(/lib\/modules\/[^\0]+\.ko(?=\0)/g)].map(([name]) => name);
    assert.deepEqual(
      names.map((name) => name.replace(`lib/modules/${RELEASE}/kernel/`, '')),
      ['arch/crc16.ko', 'drivers/xen-netfront.ko', 'fs/ext4.ko', 'fs/jbd2.ko'],
    );
    const text = archive.toString('latin1');
    assert.ok(text.includes('kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/arch/crc16.ko\n'));
    assert.ok(text.includes('alias xen:vif xen_netfront\n'));
    assert.ok(text.includes('ELF of busybox'));
    assert.equal(text.includes('ELF of the agent'), compiles);
    assert.equal(text.includes('::once:/usr/local/sbin/xenolith-agent\n'), compiles);
  });

  it('are in the cache the second time', async () => {
    const options = { package: 'linux-image-amd64', cache: join(folder, 'cache') };
    const first = await guestFiles(options);
    await rm(join(folder, 'calls'), { force: true });
    assert.deepEqual(await guestFiles(options), first);
    assert.equal(await calls(), '');
    const left = (await readdir(options.cache)).filter((name) => name.startsWith('.'));
    assert.deepEqual(left, []);
  });

  it('are fetched again when the cached kernel is damaged', async () => {
    const options = { package: 'linux-image-amd64', cache: join(folder, 'cache') };
    const { kernel } = await guestFiles(options);
    await writeFile(kernel, 'the kernek');
    assert.equal(await readFile((await guestFiles(options)).kernel, 'utf8'), 'the kernel');
    assert.match(await calls(), /download/);
  });

  it('are of another architecture when that is asked for, beside those of the usual one', async () => {
    const options = { package: 'linux-image-amd64', cache: join(folder, 'cache') };
    for (const [architecture, expected] of [
      ['i386', ['the 32-bit kernel', 'ELF32 of busybox']],
      ['amd64', ['the kernel', 'ELF of busybox']],
    ] as const) {
      const { kernel, ramdisk } = await guestFiles({ ...options, architecture });
      assert.equal(await readFile(kernel, 'utf8'), expected[0]);
      assert.ok((await readFile(ramdisk, 'latin1')).includes(expected[1]));
    }
  });

  it('take files of the caller into the ramdisk', async () => {
    const options = { package: 'linux-image-amd64', cache: join(folder, 'cache') };
    const extraFiles = { '/root/hello': { content: Buffer.from('hello, guest'), executable: true } };
    const { ramdisk } = await guestFiles({ ...options, extraFiles });
    assert.ok((await readFile(ramdisk, 'latin1')).includes('root/hello\0'));
    assert.notEqual(ramdisk, (await guestFiles(options)).ramdisk);
  });

  for (const [name, expected] of [
    ['linux-image-nosuch', /apt knows no package linux-image-nosuch for amd64/],
    ['linux-image-empty', /linux-image-empty has no kernel in it/],
    ['linux-image-broken', /linux-image-broken: the package ends early/],
    ['--option', /is not the name of a package/],
    ['linux-image-../x', /is not the name of a package/],
  ] as const) {
    it(`are refused for ${name}`, async () => {
      const cache = join(folder, 'refused');
      await assert.rejects(
        guestFiles({ package: name, cache }),
        (error) => error instanceof GuestFilesError && expected.test(error.message),
      );
    });
  }

  it('are not to be had without apt, and the error says what to do', async () => {
    process.env['PATH'] = join(folder, 'nothing');
    await assert.rejects(
      guestFiles({ cache: join(folder, 'without') }),
      (error) => error instanceof GuestFilesError && /--kernel/.test(error.hint ?? ''),
    );
  });
});

describe('a cpio archive', () => {
  it('has the folders that lead to a file, once, and before it', () => {
    const kind = { type: 'file', content: new Uint8Array() } as const;
    const text = Buffer.from(
      cpioArchive([
        { path: 'a/b/c', kind },
        { path: 'a/b/d', kind },
      ]),
    ).toString('latin1');
    assert.deepEqual(
      [...text.matchAll(/(?<=0{8})[a-zA-Z/!]+(?=\0)/g)].map(([name]) => name),
      ['a', 'a/b', 'a/b/c', 'a/b/d', 'TRAILER!!!'],
    );
  });

  it('is the same for the same content', () => {
    const make = (): Uint8Array =>
      cpioArchive([{ path: 'dev/console', kind: { type: 'character', major: 5, minor: 1 } }]);
    assert.deepEqual(make(), make());
  });
});
