/** VHDs against QEMU's own programs, which call the format vpc. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { openDisk } from '../../dom0/disk/index.ts';
import { createVhd, vhdSubformats } from '../../dom0/disk/vhd/create.ts';
import { DiskModel, diskRequests, firstDifference } from '../../dom0/testing/disk-model.ts';
import { nodeDiskHost as host } from './disk-files.ts';
import { qemuImg, qemuIo, withoutQemu } from './testing/qemu-tools.ts';

const size = 7 * 2 ** 20 + 512;
const folder = mkdtempSync(join(tmpdir(), 'xenolith-vhd-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.vhd');
const raw = join(folder, 'disk.raw');

async function assertSame(expected?: Uint8Array): Promise<void> {
  await qemuImg('convert', '-f', 'vpc', '-O', 'raw', image, raw);
  const theirs = readFileSync(raw);
  if (expected !== undefined) assert.equal(firstDifference(theirs, expected), undefined);
  const disk = await openDisk(host, image, { format: 'vhd', readOnly: true });
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, [bytes]);
  await disk.close();
  assert.equal(firstDifference(bytes, theirs), undefined);
}

async function writeHere(seed: number): Promise<void> {
  const disk = await openDisk(host, image, { format: 'vhd', readOnly: false });
  const model = new DiskModel(disk.size);
  await disk.read(0, [model.bytes]);
  const [batches = []] = fc.sample(diskRequests(disk.size / 512, 3000), { numRuns: 1, seed });
  for (const batch of batches) await model.run(disk, batch);
  await disk.close();
  await assertSame(model.bytes);
}

describe('a VHD as QEMU has it', { skip: withoutQemu }, () => {
  for (const subformat of vhdSubformats) {
    for (const force of ['on', 'off']) {
      it(`made by qemu-img, ${subformat}, with force_size=${force}, is read and written`, async () => {
        await qemuImg(
          'create',
          '-q',
          '-f',
          'vpc',
          '-o',
          `subformat=${subformat},force_size=${force}`,
          image,
          String(size),
        );
        await assertSame();
        await qemuIo(image, 'vpc', 'write -P 0x11 1000k 70k', 'write -P 0x22 5M 1024');
        await assertSame();
        await writeHere(3);
        await qemuIo(image, 'vpc', 'write -P 0x33 0 6M');
        await assertSame();
      });
    }

    it(`made here, ${subformat}, is read and written by QEMU, and has the size that was asked for`, async () => {
      const file = await host.create(image, { overwrite: true });
      await createVhd(file, { size, subformat, uuid: new Uint8Array(16).fill(3), timestamp: 800_000_000 });
      await file.close();
      await assertSame(new Uint8Array(size));
      await writeHere(5);
      await qemuIo(image, 'vpc', 'write -P 0x44 300k 3M');
      await assertSame();
      await writeHere(9);
    });
  }
});
