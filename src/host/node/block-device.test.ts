/** Disks on real block devices: loop devices, which need root and a kernel that has them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createQcow2 } from '../../dom0/disk/qcow2/create.ts';
import { DiskError, openDisk } from '../../dom0/disk/index.ts';
import { nodeDiskHost as host } from './disk-files.ts';

const MiB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'xenolith-loop-'));
const devices: string[] = [];

/** Undefined where there are no loop devices, or not for us. */
function loopDevice(name: string, size: number): { readonly device: string; readonly image: string } | undefined {
  const image = join(folder, name);
  const fd = openSync(image, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  const { status, stdout } = spawnSync('losetup', ['-f', '--show', image], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  const device = stdout.trim();
  devices.push(device);
  return { device, image };
}

after(() => {
  for (const device of devices) execFileSync('losetup', ['-d', device]);
  rmSync(folder, { recursive: true });
});

const probe = loopDevice('probe', MiB);

describe('a block device', { skip: probe === undefined && 'losetup cannot make one here' }, () => {
  const made = (name: string, size: number) => {
    const loop = loopDevice(name, size);
    assert.ok(loop);
    return loop;
  };

  it('is a raw disk of its size, to the last sector', async () => {
    const size = 5 * MiB + 3 * 512;
    const { device, image } = made('odd', size);
    const disk = await openDisk(host, device, { format: 'raw', readOnly: false });
    assert.equal(disk.size, size);
    const sector = (fill: number) => new Uint8Array(512).fill(fill);
    await disk.write(size - 512, [sector(7)]);
    await disk.write(512, [sector(8)]);
    await disk.flush();
    const into = sector(0);
    await disk.read(size - 512, [into]);
    assert.deepEqual(into, sector(7));
    await assert.rejects(disk.read(size, [into]), (error) => error instanceof DiskError && error.code === 'EINVAL');
    await disk.close();
    assert.equal(statSync(image).size, size);
    const file = await openDisk(host, image, { format: 'raw', readOnly: true });
    await file.read(512, [into]);
    assert.deepEqual(into, sector(8));
    await file.close();
  });

  it('has one writer, by whatever name it is opened', async () => {
    const { device } = made('locked', MiB);
    const disk = await openDisk(host, device, { format: 'raw', readOnly: false });
    await assert.rejects(openDisk(host, `/dev/../${device}`, { format: 'raw', readOnly: true }), /is in use/);
    await disk.close();
  });

  it('discards what the guest gives up, where it can', async (t) => {
    const { device, image } = made('discard', 8 * MiB);
    const disk = await openDisk(host, device, { format: 'raw', readOnly: false });
    await disk.write(0, [new Uint8Array(8 * MiB).fill(1)]);
    await disk.flush();
    const before = statSync(image).blocks;
    const can = disk.discardGranularity > 0;
    await disk.discard(MiB, 4 * MiB);
    const into = [new Uint8Array(512)];
    await disk.read(MiB, into);
    await disk.close();
    if (!can) return t.skip('this one cannot');
    assert.deepEqual(into, [new Uint8Array(512)]);
    assert.ok(statSync(image).blocks <= before - 4 * 2048);
  });

  it('holds a qcow2 image as a file does', async () => {
    const { device } = made('qcow2', 8 * MiB);
    const file = await host.create(device, { overwrite: true });
    await createQcow2(file, { size: 4 * MiB });
    await file.close();
    for (const fill of [3, 4]) {
      const disk = await openDisk(host, device, { format: 'qcow2', readOnly: false });
      await disk.write(MiB, [new Uint8Array(MiB).fill(fill)]);
      await disk.discard(MiB + 65536, 65536);
      await disk.close();
    }
    const disk = await openDisk(host, device, { format: 'qcow2', readOnly: true });
    const into = new Uint8Array(512);
    await disk.read(MiB, [into]);
    assert.equal(into[0], 4);
    await disk.read(MiB + 65536, [into]);
    assert.equal(into[0], 0);
    await disk.close();
  });
});
