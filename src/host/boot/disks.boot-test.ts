/** A guest with disks: what it writes is in the images, what the images hold it reads, and they come and go while it runs. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { contentOf, ext4Faults, fileIn, makeExt4, makeQcow2, qcow2Faults } from '../testing/disk-images.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

const MiB = 2 ** 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('a guest with disks', () => {
  const machine = new Machine();
  const [ext4, qcow2, plug] = ['root.img', 'data.qcow2', 'plug.img'].map((name) => machine.path(name)) as [
    string,
    string,
    string,
  ];
  const plugged = randomBytes(8 * MiB);
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    makeExt4(ext4, 64);
    await makeQcow2(qcow2, { sizeMiB: 64 });
    writeFileSync(plug, plugged);
    guest = await machine.boot({
      name: 'disks',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 quiet loglevel=3 ${PLAIN_CONSOLE}`,
      memory: 128,
      disk: [`format=raw,vdev=xvda,access=rw,target=${ext4}`, `format=qcow2,vdev=xvdb,access=rw,target=${qcow2}`],
    });
    await guest.ready();
  });
  after(() => machine.close());

  it('has them by name and size, and xl lists them', async () => {
    assert.match(await guest.run('cat /proc/partitions'), /65536 xvda[^]*65536 xvdb/);
    const rows = (await machine.ok('block-list', 'disks')).trimEnd().split('\n').slice(1);
    assert.match(rows[0] ?? '', /^51712 0 {3}1 {6}4 .*\/local\/domain\/0\/backend\/vbd\/1\/51712/);
    assert.match(rows[1] ?? '', /^51728 0 {3}1 {6}4 .*\/local\/domain\/0\/backend\/qdisk\/1\/51728/);
  });

  it('keeps files in an ext4 file system', async () => {
    await guest.run('mkdir -p /mnt/a && mount -t ext4 /dev/xvda /mnt/a');
    await guest.run('dd if=/dev/urandom of=/mnt/a/random bs=1M count=4 2>/dev/null && sync');
    await guest.run(
      'for i in 1 2 3 4 5 6 7 8 9; do mkdir /mnt/a/d$i; echo file $i > /mnt/a/d$i/f; done; cp -r /bin /mnt/a/d1',
    );
    const [sum] = (await guest.run('sha256sum < /mnt/a/random')).split(' ');
    await guest.run('umount /mnt/a && mount -t ext4 /dev/xvda /mnt/a');
    assert.equal((await guest.run('sha256sum < /mnt/a/random')).split(' ')[0], sum, 'read again from the disk');
    await guest.run('umount /mnt/a');
    assert.equal(sha256(fileIn(ext4, '/random')), sum, 'and in the image');
    assert.equal(fileIn(ext4, '/d7/f').toString(), 'file 7\n');
    assert.equal(ext4Faults(ext4), '');
  });

  it('writes anywhere in a qcow2 image, and reads back', async () => {
    const writes = [0, 3, 17, 40, 63].map(
      (at) => `dd if=/dev/urandom of=/dev/xvdb bs=64k count=5 seek=${at * 16} conv=notrunc 2>/dev/null`,
    );
    await guest.run(
      `${writes.join(' && ')} && dd if=/dev/urandom of=/dev/xvdb bs=512 count=3 seek=70001 conv=notrunc,fsync 2>/dev/null`,
    );
    await guest.run('sync; echo 3 > /proc/sys/vm/drop_caches');
    const [sum] = (await guest.run('sha256sum < /dev/xvdb')).split(' ');
    await machine.ok('block-detach', 'disks', 'xvdb');
    assert.equal(sha256(await contentOf(qcow2, 'qcow2')), sum);
    assert.equal(qcow2Faults(qcow2) ?? '', '');
    await machine.ok('block-attach', 'disks', `format=qcow2,vdev=xvdb,access=rw,target=${qcow2}`);
    await until('xvdb to come back', async () => (await guest.try('test -b /dev/xvdb')).code === 0);
    assert.equal((await guest.run('sha256sum < /dev/xvdb')).split(' ')[0], sum);
  });

  it('gives the space back that it gives up', async (t) => {
    const offered = await guest.run('cat /sys/block/xvda/queue/discard_max_bytes');
    if (/^0\r?$/m.test(offered)) return t.skip('no holes in the filesystem for temporary files');
    const space = (path: string): number => statSync(path).blocks * 512;
    const fill = (dev: string): string => `dd if=/dev/urandom of=/mnt/a/${dev} bs=1M count=8 2>/dev/null`;
    await guest.run(`mount -t ext4 /dev/xvda /mnt/a && ${fill('full')} && sync`);
    await guest.run('dd if=/dev/urandom of=/dev/xvdb bs=1M count=8 conv=fsync 2>/dev/null');
    const full = { ext4: space(ext4), qcow2: space(qcow2) };
    await guest.run('rm /mnt/a/full && sync && fstrim /mnt/a && umount /mnt/a; blkdiscard -o 0 -l 8388608 /dev/xvdb');
    // A qcow2 image gives clusters back with the next flush; nobody asks for one here.
    await until('the space that was given back', () =>
      Promise.resolve(space(ext4) <= full.ext4 - 7 * MiB && space(qcow2) <= full.qcow2 - 7 * MiB),
    );
    assert.match(await guest.run('dd if=/dev/xvdb bs=1M count=8 2>/dev/null | tr -d "\\0" | wc -c'), /^0\r?$/m);
  });

  it('gets a disk while it runs, reads it, may not write it, and gives it back', async () => {
    await machine.ok('block-attach', 'disks', `phy:${plug}`, 'xvdc', 'r');
    await until('xvdc to come', async () => (await guest.try('test -b /dev/xvdc')).code === 0);
    assert.equal((await guest.run('sha256sum < /dev/xvdc')).split(' ')[0], sha256(plugged));
    assert.equal(await guest.run('cat /sys/block/xvdc/ro'), '1');
    assert.notEqual((await guest.try('dd if=/dev/zero of=/dev/xvdc bs=4k count=1 conv=fsync')).code, 0);
    assert.deepEqual(await machine.xl('block-detach', 'disks', 'xvdc'), { code: 0, out: '', err: '' });
    await until('xvdc to go', async () => (await guest.try('test -b /dev/xvdc')).code !== 0);
    assert.doesNotMatch(await machine.ok('block-list', 'disks'), /51744/);
    assert.equal(sha256(readFileSync(plug)), sha256(plugged));
  });

  it('does not get an image that somebody else writes', async () => {
    const { code, err } = await machine.xl('block-attach', 'disks', `vdev=xvdd,access=rw,target=${ext4}`);
    assert.equal(code, 1);
    assert.match(err, /script: .*root\.img.*\n.*Unable to add vbd with id 51760\nlibxl_device_disk_add failed\.\n$/);
    await machine.ok('block-detach', 'disks', 'xvdd');
    assert.match(await guest.run('mount -t ext4 /dev/xvda /mnt/a && cat /mnt/a/d3/f; umount /mnt/a'), /^file 3\r?$/m);
  });

  it('has written everything when it is destroyed', async () => {
    await guest.run('mount -t ext4 /dev/xvda /mnt && echo last words > /mnt/last && sync');
    await machine.ok('destroy', 'disks');
    assert.equal(fileIn(ext4, '/last').toString(), 'last words\n');
    assert.equal(ext4Faults(ext4, true), '');
    assert.doesNotMatch(await machine.xenstore(), /vbd|qdisk/);
  });
});
