import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  DiskModel,
  type DiskRequest,
  diskRequests,
  firstDifference,
  seededCoin,
  seededDelay,
} from '../../testing/disk-model.ts';
import { MemoryDiskHost, MemoryFile } from '../../testing/memory-disk-host.ts';
import { DiskError, openDisk } from '../index.ts';
import { checkImage } from './check.ts';
import { createQcow2, type Qcow2CreateOptions } from './create.ts';
import { ImageFile } from './image-file.ts';
import { readHeader } from './open.ts';

const size = 400 * 512;
const sectors = size / 512;

async function create(host: MemoryDiskHost, path: string, options: Qcow2CreateOptions): Promise<void> {
  const file = await host.create(path);
  await createQcow2(file, options);
  await file.close();
}

async function check(host: MemoryDiskHost, path: string) {
  const file = await host.open(path, { readOnly: true });
  return checkImage(new ImageFile(file, await readHeader(file)));
}

const geometries: fc.Arbitrary<Omit<Qcow2CreateOptions, 'size'>> = fc.oneof(
  fc.record({
    clusterSize: fc.constantFrom(512, 1024, 4096, 65536),
    refcountBits: fc.constantFrom(1, 2, 4, 8, 16, 32, 64),
    lazyRefcounts: fc.boolean(),
  }),
  fc.record({ clusterSize: fc.constantFrom(512, 4096, 65536), compat: fc.constant('0.10' as const) }),
);

/** After a crash the tables are right, and all sectors that were not touched since the last flush are as they were. */
async function assertSurvived(
  file: MemoryFile,
  before: Uint8Array,
  touched: readonly DiskRequest[],
  isLazy: boolean,
): Promise<void> {
  const host = new MemoryDiskHost();
  host.files.set('disk', file);
  if (!isLazy) {
    const { corruptions, problems } = await check(host, 'disk');
    assert.deepEqual({ corruptions, problems }, { corruptions: 0, problems: [] });
  }
  const disk = await openDisk(host, 'disk', open);
  const bytes = new Uint8Array(size);
  await disk.read(0, [bytes]);
  for (const { at, count } of touched) bytes.set(before.subarray(at * 512, (at + count) * 512), at * 512);
  assert.equal(firstDifference(bytes, before), undefined);
  await disk.write(0, [new Uint8Array(size).fill(9)]);
  await disk.close();
  const { corruptions, problems } = await check(host, 'disk');
  assert.deepEqual({ corruptions, problems }, { corruptions: 0, problems: [] });
}

const open = { format: 'qcow2', readOnly: false } as const;

describe('a qcow2 disk', () => {
  it('holds what was written, whatever is under way at the same time, and its tables are right', async () => {
    await fc.assert(
      fc.asyncProperty(geometries, fc.integer(), diskRequests(sectors), async (geometry, seed, batches) => {
        const host = new MemoryDiskHost({ delay: seededDelay(seed), isQuick: seededCoin(seed) });
        await create(host, 'disk', { ...geometry, size });
        const model = new DiskModel(size);
        let disk = await openDisk(host, 'disk', open);
        for (const batch of batches) await model.run(disk, batch);
        await model.compare(disk);
        await disk.close();
        const report = await check(host, 'disk');
        assert.deepEqual([report.corruptions, report.leaks, report.problems], [0, 0, []]);
        disk = await openDisk(host, 'disk', open);
        await model.compare(disk);
        await disk.close();
      }),
      { numRuns: 150 },
    );
  });

  it('shows the backing file where it has nothing, also a shorter one, and never changes it', async () => {
    await fc.assert(
      fc.asyncProperty(geometries, fc.integer(), diskRequests(sectors), async (geometry, seed, batches) => {
        const host = new MemoryDiskHost({ delay: seededDelay(seed), isQuick: seededCoin(seed) });
        const base = await host.create('base');
        const content = new Uint8Array(300 * 512).map((_, index) => 1 + ((index >>> 9) % 255));
        await base.write(0, [content]);
        await create(host, 'middle', { size, backingFile: 'base', backingFormat: 'raw' });
        await create(host, 'disk', { ...geometry, size, backingFile: 'middle', backingFormat: 'qcow2' });
        const model = new DiskModel(size);
        model.bytes.set(content);
        const disk = await openDisk(host, 'disk', open);
        await model.compare(disk);
        for (const batch of batches) await model.run(disk, batch);
        await model.compare(disk);
        await disk.close();
        const report = await check(host, 'disk');
        assert.deepEqual([report.corruptions, report.leaks, report.problems], [0, 0, []]);
        assert.deepEqual(host.files.get('base')?.current.bytes(), content);
      }),
      { numRuns: 100 },
    );
  });

  it('survives a crash of the machine at any moment: what was flushed is there, and nothing is wrong but clusters that leak', async () => {
    await fc.assert(
      fc.asyncProperty(
        geometries,
        fc.integer(),
        diskRequests(sectors),
        fc.infiniteStream(fc.boolean()),
        async (geometry, seed, batches, chance) => {
          const host = new MemoryDiskHost({ delay: seededDelay(seed), isQuick: seededCoin(seed) });
          await create(host, 'disk', { ...geometry, size });
          const disk = await openDisk(host, 'disk', open);
          const file = host.files.get('disk');
          assert.ok(file);
          const model = new DiskModel(size);
          for (const batch of batches) {
            const before = model.bytes.slice();
            const left: MemoryFile[] = [];
            file.onFlush = () => void left.push(MemoryFile.of(file.afterCrash(() => chance.next().value)));
            await model.run(disk, batch);
            await disk.flush();
            file.onFlush = undefined;
            const touched = batch.filter(({ kind }) => kind !== 'read' && kind !== 'flush');
            for (const one of left) await assertSurvived(one, before, touched, geometry.lazyRefcounts === true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('has a larger table of counts when the first is full, on whose way a crash finds the one or the other', async () => {
    const large = 12 * 2 ** 20;
    const host = new MemoryDiskHost();
    await create(host, 'disk', { size: large, clusterSize: 512, refcountBits: 64 });
    const disk = await openDisk(host, 'disk', open);
    const model = new DiskModel(large);
    const file = host.files.get('disk');
    assert.ok(file);
    for (let at = 0; at < large; at += 2 ** 18) {
      model.bytes.fill(1 + (at >>> 18), at, at + 2 ** 18);
      const writing = disk.write(at, [model.bytes.subarray(at, at + 2 ** 18)]);
      for (let turn = 0; turn < at >>> 15; turn++) await Promise.resolve();
      const after = new MemoryDiskHost();
      after.files.set('disk', MemoryFile.of(file.afterCrash((index) => index % 3 > 0)));
      const { corruptions, problems } = await check(after, 'disk');
      assert.deepEqual([corruptions, problems], [0, []]);
      await writing;
      if (at % 2 ** 19 === 0) await disk.flush();
    }
    await model.compare(disk);
    await disk.close();
    const { corruptions, leaks } = await check(host, 'disk');
    assert.deepEqual([corruptions, leaks], [0, 0]);
    const again = await openDisk(host, 'disk', open);
    await model.compare(again);
  });

  it('answers a request that finds no space with ENOSPC and goes on', async () => {
    const host = new MemoryDiskHost();
    await create(host, 'disk', { size });
    const disk = await openDisk(host, 'disk', open);
    const file = host.files.get('disk');
    assert.ok(file);
    await disk.write(0, [new Uint8Array(512).fill(1)]);
    file.failWrites = new DiskError('ENOSPC', 'no space is left');
    await assert.rejects(disk.write(2 ** 17, [new Uint8Array(512).fill(2)]), { code: 'ENOSPC' });
    await assert.rejects(disk.flush(), { code: 'ENOSPC' });
    file.failWrites = undefined;
    await disk.write(3 * 2 ** 16, [new Uint8Array(512).fill(3)]);
    await disk.close();
    const report = await check(host, 'disk');
    assert.deepEqual([report.corruptions, report.leaks, report.allocatedClusters], [0, 0, 2]);
  });

  it('that is its own backing file is refused', async () => {
    const host = new MemoryDiskHost();
    await create(host, 'disk', { size, backingFile: 'disk', backingFormat: 'qcow2' });
    await assert.rejects(openDisk(host, 'disk', { format: 'qcow2', readOnly: true }), /lie behind each other/);
  });

  it('does not open a backing file as an image when nobody has said that it is one', async () => {
    const host = new MemoryDiskHost();
    await create(host, 'base', { size });
    await create(host, 'disk', { size, backingFile: 'base', backingFormat: 'qcow2' });
    // The extension with the format becomes one that nobody knows.
    const file = await host.open('disk', { readOnly: false });
    await file.write(112, [new Uint8Array([0x12, 0x34, 0x56, 0x78])]);
    await assert.rejects(openDisk(host, 'disk', { format: 'qcow2', readOnly: true }), /looks like qcow2/);
  });

  it('reads and overwrites at once what is in memory, and nothing else', async () => {
    let quick = true;
    const host = new MemoryDiskHost({ isQuick: () => quick });
    await create(host, 'disk', { size, clusterSize: 4096 });
    const disk = await openDisk(host, 'disk', open);
    const page = [new Uint8Array(4096)];
    assert.equal(disk.writeNow?.(0, [new Uint8Array(4096).fill(1)]), false, 'it has to be allocated');
    assert.equal(disk.readNow?.(0, page), true, 'zeroes');
    await disk.write(0, [new Uint8Array(4096).fill(1)]);
    assert.equal(disk.writeNow?.(1024, [new Uint8Array(512).fill(2)]), true);
    assert.equal(disk.readNow?.(0, page), true);
    assert.deepEqual([page[0]?.[1023], page[0]?.[1024], page[0]?.[1536]], [1, 2, 1]);
    assert.equal(disk.readNow?.(size - 512, page), false, 'beyond the end');
    assert.equal(disk.writeNow?.(100, page), false, 'not whole sectors');
    quick = false;
    assert.equal(disk.readNow?.(0, page), false);
    await disk.close();
    assert.equal(disk.readNow?.(4096, page), false, 'closed');
  });
});
