import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DiskError, DiskImages, type DiskFile, type DiskHost } from '../../dom0/disk/index.ts';
import { prepareRunDirectory } from '../daemon/prepare-run-directory.ts';
import { runDirectory } from '../daemon/run-directory.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { bootloaderService, type BootloaderRequest } from './service.ts';
import { extImage, hasTool, memoryDisk } from './testing/images.ts';

const tree = {
  'boot/grub/grub.cfg':
    'menuentry x {\n linux /vmlinuz root=/dev/xvda1\n initrd /initrd\n}\nmenuentry y {\n linux /other\n}\n',
  vmlinuz: 'kernel',
  other: 'other',
  initrd: 'ramdisk',
};

describe('the bootloader of a domain', { skip: !hasTool('mke2fs') && 'no mke2fs' }, () => {
  let folder = '';
  const images = new Map<string, Uint8Array>();
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
    images.set('/good.img', extImage(join(folder, 'good'), tree, ['-t', 'ext4'], 4));
    images.set('/bad.img', new Uint8Array(1 << 20));
  });
  after(() => rmSync(folder, { recursive: true }));

  const open: { closed: number; modes: unknown[] } = { closed: 0, modes: [] };
  /** Only what reading a raw disk takes. */
  const diskHost = {
    open(path, options) {
      const bytes = images.get(path);
      if (bytes === undefined) return Promise.reject(new DiskError('ENOENT', `there is no ${path}`));
      open.modes.push(options);
      return Promise.resolve({
        path,
        kind: 'file',
        readOnly: true,
        punches: false,
        size: () => Promise.resolve(bytes.length),
        read: (offset, into) => memoryDisk(bytes).read(offset, into),
        close: () => Promise.resolve(void open.closed++),
      } as DiskFile);
    },
  } as DiskHost;

  const run = (): ReturnType<typeof runDirectory> => {
    const directory = runDirectory({ XENOLITH_RUN_DIR: join(folder, 'run') });
    prepareRunDirectory(directory);
    return directory;
  };
  const request: BootloaderRequest = {
    domid: 7,
    bootloader: 'pygrub',
    args: [],
    kernel: undefined,
    ramdisk: undefined,
    cmdline: undefined,
    disk: { pdev_path: '/good.img', format: 'raw' },
  };
  const boot = (change: Partial<BootloaderRequest>): ReturnType<ReturnType<typeof bootloaderService>> =>
    bootloaderService({ run: run(), images: new DiskImages(diskHost, '/layers') })({ ...request, ...change });

  it('leaves a kernel and a ramdisk in files until the domain is built', async () => {
    const files = await boot({ cmdline: 'quiet' });
    assert.equal(readFileSync(files.kernel, 'utf8'), 'kernel');
    assert.equal(readFileSync(files.ramdisk ?? '', 'utf8'), 'ramdisk');
    assert.equal(files.cmdline, 'root=/dev/xvda1 quiet');
    assert.deepEqual([open.closed, open.modes], [1, [{ format: 'raw', readOnly: true, shared: true }]]);
    files.remove();
    assert.equal(existsSync(files.kernel), false);
  });

  it('is told what to boot as pygrub is', async () => {
    const files = await boot({ kernel: '/other', cmdline: 'a', args: ['-q'], bootloader: '/usr/lib/xen/bin/pygrub' });
    assert.equal(readFileSync(files.kernel, 'utf8'), 'other');
    assert.deepEqual([files.ramdisk, files.cmdline], [undefined, 'a']);
    assert.equal(readFileSync((await boot({ args: ['--entry=y'] })).kernel, 'utf8'), 'other');
  });

  /** What real xl 4.17 printed, with another log folder and process number. */
  const failure = (status: number): string[] => [
    `libxl: error: libxl_bootloader.c:767:bootloader_finished: Domain 7:bootloader failed - consult logfile ${run().logs}/bootloader.7.log`,
    `libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: bootloader [${process.pid}] exited with error status ${status}`,
    'libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 7:cannot (re-)build domain: -3',
  ];

  it('fails in the words of xl, with the reason in its log', async () => {
    const cases: readonly [Partial<BootloaderRequest>, number, RegExp][] = [
      [{ bootloader: 'nosuchloader' }, 255, /there is no bootloader nosuchloader/],
      [{ disk: { pdev_path: '/bad.img', format: 'raw' } }, 1, /no file system that can be read/],
      [{ disk: { pdev_path: '/none.img', format: 'raw' } }, 1, /there is no \/none.img/],
      [{ disk: { pdev_path: '/good.img', format: 'qed' } }, 1, /format qed/],
      [{ disk: { format: 'raw' } }, 1, /the first disk is empty/],
      [{ kernel: '/missing' }, 1, /the kernel \/missing is not in/],
      [{ args: ['--wrong'] }, 1, /--wrong/],
    ];
    for (const [change, status, reason] of cases) {
      await assert.rejects(boot(change), (error) => {
        assert.ok(error instanceof LibxlError);
        assert.deepEqual(error.lines, failure(status));
        assert.match(error.hint ?? '', reason);
        return true;
      });
      assert.match(readFileSync(join(run().logs, 'bootloader.7.log'), 'utf8').split('\n').at(-2) ?? '', reason);
    }
  });

  it('needs a disk', async () => {
    await assert.rejects(boot({ disk: undefined }), (error) => {
      assert.ok(error instanceof LibxlError);
      assert.deepEqual(error.lines, [
        'libxl: error: libxl_bootloader.c:427:libxl__bootloader_run: Domain 7:cannot run bootloader with no boot disk',
        failure(1)[2],
      ]);
      return true;
    });
  });
});
