/** qcow2 images against QEMU's own programs: what either writes the other reads, byte for byte. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { openDisk } from '../../dom0/disk/index.ts';
import { DiskModel, diskRequests, firstDifference } from '../../dom0/testing/disk-model.ts';
import { nodeDiskHost as host } from './disk-files.ts';
import { qemuCheck, qemuImg, qemuIo, withoutQemu } from './testing/qemu-tools.ts';

const MiB = 2 ** 20;
const size = 3 * MiB + 512;
const folder = mkdtempSync(join(tmpdir(), 'xenolith-qcow2-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.qcow2');
const raw = join(folder, 'disk.raw');

async function readAll(path: string): Promise<Uint8Array> {
  const disk = await openDisk(host, path, { format: 'qcow2', readOnly: true });
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, [bytes]);
  await disk.close();
  return bytes;
}

/** Both see the same, and QEMU finds nothing wrong. */
async function assertSame(path: string, expected?: Uint8Array): Promise<void> {
  await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', path, raw);
  const theirs = readFileSync(raw);
  if (expected !== undefined) assert.equal(firstDifference(theirs, expected), undefined);
  assert.equal(firstDifference(await readAll(path), theirs), undefined);
  const { corruptions = 0, leaks = 0 } = await qemuCheck(path);
  assert.deepEqual({ corruptions, leaks }, { corruptions: 0, leaks: 0 });
}

const pattern = Uint8Array.from({ length: size }, (_, index) =>
  index % 200_000 < 120_000 ? 1 + ((index >>> 9) % 200) : 0,
);

const layouts: readonly string[] = [
  '',
  'compat=0.10',
  'cluster_size=512',
  'cluster_size=512,compat=0.10',
  'cluster_size=2M',
  'cluster_size=4k,refcount_bits=1',
  'cluster_size=8k,refcount_bits=2',
  'cluster_size=16k,refcount_bits=64',
  'refcount_bits=8,lazy_refcounts=on',
  'preallocation=metadata',
  'preallocation=full,cluster_size=4k',
  'preallocation=falloc',
  'compression_type=zstd',
];

describe('qcow2 as QEMU has it', { skip: withoutQemu }, () => {
  for (const layout of layouts) {
    it(`made by qemu-img with "${layout}" is read, written and left whole`, async () => {
      const options = layout === '' ? [] : ['-o', layout];
      await qemuImg('create', '-q', '-f', 'qcow2', ...options, image, String(size));
      await assertSame(image, new Uint8Array(size));
      await qemuIo(
        image,
        'qcow2',
        'write -P 0x11 1000k 70k',
        'write -P 0x22 512 1024',
        'write -z 1024k 20k',
        'discard 64k 64k',
      );
      await assertSame(image);
      const model = new DiskModel(size);
      model.bytes = await readAll(image);
      const disk = await openDisk(host, image, { format: 'qcow2', readOnly: false });
      const [batches = []] = fc.sample(diskRequests(size / 512, 300), { numRuns: 1, seed: 7 });
      for (const batch of batches) await model.run(disk, batch);
      await disk.flush();
      await disk.close();
      await assertSame(image, model.bytes);
      await qemuIo(image, 'qcow2', 'write -P 0x33 0 3M');
      await assertSame(image);
    });
  }

  for (const type of ['zlib', 'zstd']) {
    it(`compressed with ${type} is read, and its clusters written over`, async () => {
      for (const [clusterSize, length] of [
        ['512', MiB / 4],
        ['4k', MiB],
        ['2M', size],
      ] as const) {
        const content = pattern.slice(0, length);
        writeFileSync(raw, content);
        const options = `compression_type=${type},cluster_size=${clusterSize}`;
        await qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, image);
        await assertSame(image, content);
        const model = new DiskModel(length);
        model.bytes = content;
        const disk = await openDisk(host, image, { format: 'qcow2', readOnly: false });
        const [batches = []] = fc.sample(diskRequests(length / 512, 100), { numRuns: 1, seed: 11 });
        for (const batch of batches) await model.run(disk, batch);
        await model.compare(disk);
        await disk.close();
        await assertSame(image, model.bytes);
      }
    });
  }

  it('with backing files and snapshots keeps each of them as it was', async () => {
    const [base, middle] = [join(folder, 'base.raw'), join(folder, 'middle.qcow2')];
    writeFileSync(base, pattern.subarray(0, 2 * MiB));
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', middle, String(size));
    await qemuIo(middle, 'qcow2', 'write -P 0x44 100k 300k', 'write -z 500k 200k');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', '-b', 'middle.qcow2', '-F', 'qcow2', image);
    await qemuImg('snapshot', '-c', 'first', image);
    await qemuIo(image, 'qcow2', 'write -P 0x55 90k 100k');
    await qemuImg('snapshot', '-c', 'second', image);
    await assertSame(image);
    const second = await readAll(image);
    const model = new DiskModel(size);
    model.bytes = second.slice();
    const disk = await openDisk(host, image, { format: 'qcow2', readOnly: false });
    const [batches = []] = fc.sample(diskRequests(size / 512, 300), { numRuns: 1, seed: 13 });
    for (const batch of batches) await model.run(disk, batch);
    await disk.close();
    await assertSame(image, model.bytes);
    await qemuImg('snapshot', '-a', 'second', image);
    await assertSame(image, second);
  });

  it('does the same with random requests as a raw disk', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...layouts.filter((layout) => !layout.includes('2M'))),
        diskRequests(size / 512, 400),
        async (layout, batches) => {
          await qemuImg('create', '-q', '-f', 'qcow2', ...(layout === '' ? [] : ['-o', layout]), image, String(size));
          const model = new DiskModel(size);
          const disk = await openDisk(host, image, { format: 'qcow2', readOnly: false });
          for (const batch of batches) await model.run(disk, batch);
          await disk.close();
          await assertSame(image, model.bytes);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('with what is not supported is refused in a sentence', async () => {
    const refused = async (options: string, reason: RegExp): Promise<void> => {
      await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, '1M');
      await assert.rejects(openDisk(host, image, { format: 'qcow2', readOnly: false }), reason);
    };
    await refused('extended_l2=on', /extended L2 entries/);
    await refused(`data_file=${join(folder, 'data')}`, /external data file/);
    await assert.rejects(openDisk(host, raw, { format: 'qcow2', readOnly: true }), /not a qcow2 image/);
  });
});
