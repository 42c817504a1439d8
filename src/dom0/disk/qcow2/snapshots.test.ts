import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DiskModel, diskRequests, seededDelay } from '../../testing/disk-model.ts';
import { MemoryDiskHost } from '../../testing/memory-disk-host.ts';
import { checkImage } from './check.ts';
import { createQcow2 } from './create.ts';
import { ImageFile } from './image-file.ts';
import { openQcow2, readHeader } from './open.ts';
import { type Qcow2Disk } from './qcow2-disk.ts';
import { resizeQcow2 } from './resize.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from './snapshots.ts';

const size = 300 * 512;
const sectors = size / 512;

async function assertSound(host: MemoryDiskHost): Promise<void> {
  const file = await host.open('disk', { readOnly: true });
  const { corruptions, leaks, problems } = await checkImage(new ImageFile(file, await readHeader(file)));
  assert.deepEqual({ corruptions, leaks, problems }, { corruptions: 0, leaks: 0, problems: [] });
}

async function open(host: MemoryDiskHost): Promise<Qcow2Disk> {
  const file = await host.open('disk', { readOnly: false });
  return openQcow2(file, { codecs: host.codecs, openBacking: () => Promise.resolve(undefined) });
}

const geometry = fc.record({
  clusterSize: fc.constantFrom(512, 1024, 4096),
  refcountBits: fc.constantFrom(4, 16, 64),
  lazyRefcounts: fc.boolean(),
});

/** What is done to the image between two batches. */
const step = fc.oneof(
  fc.record({ kind: fc.constant('create' as const) }),
  fc.record({ kind: fc.constantFrom('apply' as const, 'delete' as const), which: fc.nat(10) }),
  fc.record({ kind: fc.constant('resize' as const), sectors: fc.integer({ min: 1, max: sectors }) }),
  fc.record({ kind: fc.constant('reopen' as const) }),
);

describe('snapshots of a qcow2 image', () => {
  it('keep what the disk was, through writes, going back, deleting and resizing', async () => {
    await fc.assert(
      fc.asyncProperty(
        geometry,
        fc.integer(),
        fc.array(fc.tuple(step, diskRequests(sectors)), { minLength: 2, maxLength: 6 }),
        async (options, seed, steps) => {
          const host = new MemoryDiskHost({ delay: seededDelay(seed) });
          await createQcow2(await host.create('disk'), { ...options, size });
          let disk = await open(host);
          const model = new DiskModel(size);
          const kept: { readonly name: string; readonly bytes: Uint8Array }[] = [];
          let names = 0;
          for (const [action, batches] of steps) {
            const chosen = 'which' in action ? kept[action.which % Math.max(1, kept.length)] : undefined;
            if (action.kind === 'create') {
              const name = `number ${++names}`;
              await createSnapshot(disk, { name, now: 1_700_000_000_000 });
              kept.push({ name, bytes: model.bytes.slice() });
            } else if (action.kind === 'resize') {
              const bytes = new Uint8Array(action.sectors * 512);
              bytes.set(model.bytes.subarray(0, bytes.length));
              await resizeQcow2(disk, bytes.length);
              model.bytes = bytes;
            } else if (action.kind === 'reopen') {
              await disk.close();
              disk = await open(host);
            } else if (chosen !== undefined && action.kind === 'apply') {
              await applySnapshot(disk, chosen.name);
              model.bytes = chosen.bytes.slice();
            } else if (chosen !== undefined) {
              await deleteSnapshot(disk, chosen.name);
              kept.splice(kept.indexOf(chosen), 1);
            }
            assert.equal(disk.size, model.bytes.length);
            await model.compare(disk);
            for (const batch of batches.slice(0, 3)) {
              const inside = batch.filter(({ at, count }) => (at + count) * 512 <= disk.size);
              await model.run(disk, inside);
            }
          }
          for (const { name, bytes } of kept) {
            await applySnapshot(disk, name);
            model.bytes = bytes.slice();
            await model.compare(disk);
          }
          await disk.close();
          await assertSound(host);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('are refused when counts are too narrow for them, and the image stays as it was', async () => {
    const host = new MemoryDiskHost();
    await createQcow2(await host.create('disk'), { size, refcountBits: 1 });
    const disk = await open(host);
    await disk.write(0, [new Uint8Array(512).fill(1)]);
    await assert.rejects(createSnapshot(disk, { name: 'one', now: 0 }), /reference counts go up to 1 only/);
    await assert.rejects(applySnapshot(disk, 'one'), /has no snapshot "one"/);
    await disk.close();
    await assertSound(host);
  });
});
