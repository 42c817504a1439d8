import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DiskModel, diskRequests, seededDelay } from '../../testing/disk-model.ts';
import { MemoryDiskHost, MemoryFile } from '../../testing/memory-disk-host.ts';
import { openDisk } from '../index.ts';
import { createVhd } from './create.ts';
import { DYNAMIC_HEADER_SIZE } from './dynamic-header.ts';
import { checksum, FOOTER_SIZE, serialiseFooter } from './footer.ts';

const size = 5 * 2 ** 20;
const sectors = size / 512;
const uuid = Uint8Array.from({ length: 16 }, (_, index) => index);
const open = { format: 'vhd', readOnly: false } as const;

async function create(host: MemoryDiskHost, path: string, subformat: 'dynamic' | 'fixed'): Promise<void> {
  await createVhd(await host.create(path), { size, subformat, uuid, timestamp: 1 });
}

describe('a VHD', () => {
  for (const subformat of ['dynamic', 'fixed'] as const) {
    it(`that is ${subformat} holds what was written`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), diskRequests(sectors, 3000), async (seed, batches) => {
          const host = new MemoryDiskHost({ delay: seededDelay(seed) });
          await create(host, 'disk', subformat);
          const model = new DiskModel(size);
          const disk = await openDisk(host, 'disk', open);
          for (const batch of batches) await model.run(disk, batch);
          await model.compare(disk);
          await disk.close();
          const again = await openDisk(host, 'disk', { ...open, readOnly: true });
          await model.compare(again);
        }),
        { numRuns: 20 },
      );
    });
  }

  it('that is dynamic has what was flushed after a crash', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        diskRequests(sectors, 600),
        diskRequests(sectors, 600),
        fc.infiniteStream(fc.boolean()),
        async (seed, batches, later, chance) => {
          const host = new MemoryDiskHost({ delay: seededDelay(seed) });
          await create(host, 'disk', 'dynamic');
          const disk = await openDisk(host, 'disk', open);
          const model = new DiskModel(size);
          for (const batch of batches) await model.run(disk, batch);
          await disk.flush();
          const flushed = model.bytes.slice();
          const touched = new Set<number>();
          for (const batch of later.slice(0, 2)) {
            await model.run(disk, batch);
            for (const { at, count } of batch) for (let step = 0; step < count; step++) touched.add(at + step);
          }
          const left = host.files.get('disk')?.afterCrash(() => chance.next().value);
          assert.ok(left);
          const after = new MemoryDiskHost();
          after.files.set('disk', MemoryFile.of(left));
          const again = await openDisk(after, 'disk', open);
          const bytes = new Uint8Array(size);
          await again.read(0, [bytes]);
          for (let sector = 0; sector < sectors; sector++) {
            if (touched.has(sector)) continue;
            const [from, to] = [sector * 512, (sector + 1) * 512];
            assert.equal(Buffer.compare(bytes.subarray(from, to), flushed.subarray(from, to)), 0, `sector ${sector}`);
          }
          // Where nothing is yet there are zeroes, whatever the crash has left behind the last block.
          const next = new DiskModel(size);
          next.bytes = bytes;
          for (const batch of later) await next.run(again, batch);
          await next.compare(again);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('that is differencing shows its parent where its bitmap has a zero, and refuses another parent', async () => {
    const host = new MemoryDiskHost();
    await create(host, 'parent.vhd', 'dynamic');
    const parent = await openDisk(host, 'parent.vhd', open);
    await parent.write(0, [new Uint8Array(size).map((_, index) => 1 + (index >>> 9))]);
    await parent.close();
    const child = await host.create('child');
    await child.write(0, [differencing('C:\\images\\parent.vhd')]);
    const disk = await openDisk(host, 'child', { ...open, readOnly: true });
    const bytes = new Uint8Array(size);
    await disk.read(0, [bytes]);
    // Sectors 1 and 10 of block 1 are its own.
    for (let sector = 0; sector < sectors; sector++) {
      const expected = sector === 4097 || sector === 4106 ? 0xcc : (1 + sector) & 255;
      assert.equal(bytes[sector * 512], expected, `sector ${sector}`);
      assert.equal(bytes[sector * 512 + 511], expected, `sector ${sector}`);
    }
    await disk.close();
    await assert.rejects(openDisk(host, 'child', open), /can be read only/);
    await createVhd(await host.create('parent.vhd'), {
      size,
      subformat: 'dynamic',
      uuid: new Uint8Array(16),
      timestamp: 1,
    });
    await assert.rejects(openDisk(host, 'child', { ...open, readOnly: true }), /not the parent/);
    host.files.delete('parent.vhd');
    await assert.rejects(
      openDisk(host, 'child', { ...open, readOnly: true }),
      /its parent is not there \(parent.vhd\)/,
    );
  });

  it('with a damaged footer or header is refused', async () => {
    const host = new MemoryDiskHost();
    await create(host, 'disk', 'fixed');
    const fixed = await host.open('disk', { readOnly: false });
    await fixed.write(size + 40, [new Uint8Array([1])]);
    await assert.rejects(openDisk(host, 'disk', open), /not a VHD image/);
    await create(host, 'disk', 'dynamic');
    const dynamic = await host.open('disk', { readOnly: false });
    await dynamic.write(FOOTER_SIZE + 28, [new Uint8Array([255])]);
    await assert.rejects(openDisk(host, 'disk', open), /dynamic header is damaged/);
  });
});

/** A disk of blocks of 2 MiB, of which block 1 is here with two sectors. */
function differencing(parentPath: string): Uint8Array {
  const blockSize = 2 ** 21;
  const blockAt = 4096;
  const bytes = new Uint8Array(blockAt + 512 + blockSize);
  bytes.set(
    serialiseFooter({ type: 'differencing', size, dataOffset: FOOTER_SIZE, uuid: new Uint8Array(16), timestamp: 1 }),
  );
  const header = bytes.subarray(FOOTER_SIZE, FOOTER_SIZE + DYNAMIC_HEADER_SIZE);
  const view = new DataView(bytes.buffer, FOOTER_SIZE, DYNAMIC_HEADER_SIZE);
  const text = new TextEncoder();
  const utf16 = new Uint8Array(Buffer.from(parentPath, 'utf16le'));
  header.set(text.encode('cxsparse'));
  view.setUint32(20, 2048);
  view.setUint32(24, 0x00010000);
  view.setUint32(28, 3);
  view.setUint32(32, blockSize);
  header.set(uuid, 40);
  header.set(text.encode('W2ku'), 576);
  view.setUint32(576 + 8, utf16.length);
  view.setUint32(576 + 20, 3072);
  view.setUint32(36, checksum(header, 36));
  bytes.fill(0xff, 2048, 2060);
  new DataView(bytes.buffer).setUint32(2052, blockAt / 512);
  bytes.set(utf16, 3072);
  bytes[blockAt] = 0x40;
  bytes[blockAt + 1] = 0x20;
  bytes.fill(0xcc, blockAt + 512);
  return bytes;
}
