import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { BootFailure } from './boot-failure.ts';
import { bootFilesOf, menuOf, type BootFiles } from './bootloader.ts';
import { readPygrubOptions } from './pygrub-options.ts';
import { extImage, hasTool, memoryDisk, MIB, partitioned, xfsImage, type Tree } from './testing/images.ts';

const grubCfg = `set default=0
menuentry 'One' {
  linux /boot/vmlinuz-1 root=/dev/xvda1 ro
  initrd /boot/early.img /boot/initrd-1
}
menuentry 'Two' { linux /boot/vmlinuz-2 root=/dev/xvda1
}
menuentry 'None' { chainloader +1
}
`;
const tree: Tree = {
  'boot/grub/grub.cfg': grubCfg,
  'boot/vmlinuz-1': 'kernel one',
  'boot/vmlinuz-2': 'kernel two',
  'boot/initrd-1': 'ramdisk one',
  'boot/early.img': 'early',
};

const boot = (disk: Uint8Array, ...args: string[]): Promise<BootFiles> =>
  bootFilesOf(memoryDisk(disk), readPygrubOptions(args));
const texts = ({ kernel, ramdisk, cmdline }: BootFiles): unknown[] => [
  Buffer.from(kernel).toString(),
  ramdisk && Buffer.from(ramdisk).toString(),
  cmdline,
];

describe('the bootloader', { skip: !hasTool('mke2fs') && 'no mke2fs' }, () => {
  let folder = '';
  let number = 0;
  const image = (files: Tree, size = 4): Uint8Array =>
    extImage(join(folder, `${number++}`), files, ['-t', 'ext4'], size);
  let whole: Uint8Array = new Uint8Array();
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
    whole = image(tree);
  });
  after(() => rmSync(folder, { recursive: true }));

  // GRUB pads ramdisks to four bytes when there are several.
  const one = ['kernel one', 'early\0\0\0ramdisk one\0', 'root=/dev/xvda1 ro'];
  const two = ['kernel two', undefined, 'root=/dev/xvda1'];

  it('boots a whole disk that is one file system', async () => {
    assert.deepEqual(texts(await boot(whole)), one);
  });

  it('chooses by number and title, and the default where there is no such entry', async () => {
    assert.deepEqual(texts(await boot(whole, '--entry=1')), two);
    assert.deepEqual(texts(await boot(whole, '--entry', 'Two')), two);
    assert.deepEqual(texts(await boot(whole, '--entry=77')), one);
    assert.deepEqual(texts(await boot(whole, '--entry=None')), one);
  });

  it('adds arguments, and takes files that it is told', async () => {
    assert.equal((await boot(whole, '--args=console=hvc0 x')).cmdline, 'root=/dev/xvda1 ro console=hvc0 x');
    assert.deepEqual(texts(await boot(whole, '--kernel=/boot/vmlinuz-2', '--ramdisk=/boot/initrd-1', '--args=a')), [
      'kernel two',
      'ramdisk one',
      'a',
    ]);
    assert.deepEqual(texts(await boot(whole, '--ramdisk=/boot/early.img')), ['kernel one', 'early', one[2]]);
  });

  it('lists what there is', async () => {
    const { entries, path } = await menuOf(memoryDisk(whole), { offset: undefined });
    assert.equal(path, '/boot/grub/grub.cfg');
    assert.deepEqual(
      entries.map(({ title }) => title),
      ['One', 'Two', 'None'],
    );
  });

  it('looks into the partitions of an MBR, active ones first', async () => {
    const other = image({ ...tree, 'boot/vmlinuz-1': 'another' });
    const empty = image({ 'etc/fstab': '' });
    assert.deepEqual(texts(await boot(partitioned([{ content: empty }, { content: whole }]))), one);
    const disk = partitioned([{ content: whole }, { content: other, active: true }]);
    assert.equal(texts(await boot(disk))[0], 'another');
    assert.deepEqual(texts(await boot(disk, `--offset=${MIB}`)), one);
  });

  it('finds a kernel that lies on another file system than the menu', async () => {
    const menu = image({ 'boot/grub/grub.cfg': grubCfg });
    const kernels = image(Object.fromEntries(Object.entries(tree).filter(([path]) => !path.endsWith('.cfg'))));
    assert.deepEqual(texts(await boot(partitioned([{ content: menu }, { content: kernels }]))), one);
  });

  it('looks into logical partitions, and does not go around in circles', async () => {
    const size = whole.length;
    const extended = new Uint8Array(MIB + size);
    const view = new DataView(extended.buffer);
    view.setUint8(446 + 4, 0x83);
    view.setUint32(446 + 8, MIB / 512, true);
    view.setUint32(446 + 12, size / 512, true);
    view.setUint8(462 + 4, 5);
    view.setUint32(462 + 8, 1, true);
    view.setUint32(462 + 12, 1, true);
    view.setUint16(510, 0xaa55, true);
    // The second table points at itself.
    extended.set(extended.subarray(0, 512), 512);
    extended.set(whole, MIB);
    assert.deepEqual(texts(await boot(partitioned([{ content: extended, type: 5 }]))), one);
  });

  it('looks into the partitions of a GPT', async () => {
    const disk = new Uint8Array(2 * MIB + whole.length);
    disk.set(partitioned([{ content: new Uint8Array(MIB), type: 0xee }]).subarray(0, 512));
    const view = new DataView(disk.buffer);
    disk.set(Buffer.from('EFI PART'), 512);
    view.setUint32(512 + 72, 2, true);
    view.setUint32(512 + 80, 128, true);
    view.setUint32(512 + 84, 128, true);
    const entry = 1024 + 3 * 128;
    disk.fill(0xab, entry, entry + 32);
    view.setUint32(entry + 32, MIB / 512, true);
    view.setUint32(entry + 40, (MIB + whole.length) / 512 - 1, true);
    disk.set(whole, MIB);
    assert.deepEqual(texts(await boot(disk)), one);
  });

  it('reads XFS as el7 has it on /boot', { skip: !hasTool('mkfs.xfs') && 'no mkfs.xfs' }, async () => {
    const files = {
      'grub2/grub.cfg': grubCfg.replaceAll('/boot', ''),
      'vmlinuz-1': 'k',
      'early.img': 'e',
      'initrd-1': 'r',
    };
    const xfs = xfsImage(folder, files, ['-m', 'crc=0,finobt=0,reflink=0,rmapbt=0']);
    assert.deepEqual(texts(await boot(partitioned([{ content: xfs }]))), ['k', 'e\0\0\0r\0\0\0', one[2]]);
  });

  it('says in a sentence why it cannot', async () => {
    await assert.rejects(boot(new Uint8Array(MIB)), /no file system that can be read/);
    await assert.rejects(boot(image({ 'etc/fstab': '' })), /no grub.cfg, extlinux.conf, menu.lst/);
    await assert.rejects(boot(image({ 'boot/grub/grub.cfg': grubCfg })), /the kernel \/boot\/vmlinuz-1 is not in/);
    await assert.rejects(boot(whole, '--kernel=/x'), /the kernel \/x is not in/);
    await assert.rejects(boot(whole, '--kernel=/boot/vmlinuz-1', '--ramdisk=/y'), /the ramdisk \/y is not in/);
    assert.throws(() => readPygrubOptions(['--nothing']), BootFailure);
    assert.throws(() => readPygrubOptions(['--offset=x']), BootFailure);
  });

  it('survives any damage to a file system', async () => {
    const disks = [whole, extImage(join(folder, 'maps'), tree, ['-t', 'ext2', '-b', '1024'], 2)];
    // Metadata lies in what is not empty.
    const used = disks.map((disk) => [...disk.keys()].filter((at) => disk[at] !== 0));
    const damage = fc.record({
      which: fc.nat(disks.length - 1),
      changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ which, changes }) => {
        const places = used[which] ?? [];
        const disk = (disks[which] ?? new Uint8Array()).slice();
        for (const [place, value] of changes) disk[places[place % places.length] ?? 0] = value;
        try {
          await boot(disk);
        } catch (error) {
          assert.ok(error instanceof BootFailure, String(error instanceof Error ? error.stack : error));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('survives any damage to an XFS', { skip: !hasTool('mkfs.xfs') && 'no mkfs.xfs' }, async () => {
    const xfs = xfsImage(mkdtempSync(join(folder, 'xfs-')), { ...tree, 'boot/grub/more': 'x'.repeat(9000) }, []);
    const used = [...xfs.subarray(0, MIB).keys()].filter((at) => xfs[at] !== 0);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 12 }),
        async (changes) => {
          const before = changes.map(
            ([place]) => [used[place % used.length] ?? 0, xfs[used[place % used.length] ?? 0] ?? 0] as const,
          );
          changes.forEach(([place, value]) => (xfs[used[place % used.length] ?? 0] = value));
          try {
            await boot(xfs);
          } catch (error) {
            assert.ok(error instanceof BootFailure, String(error instanceof Error ? error.stack : error));
          } finally {
            for (const [at, value] of before.reverse()) xfs[at] = value;
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
