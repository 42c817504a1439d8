/** Images in which bytes were changed: they are read, refused or found damaged, in a sentence, and nothing else happens. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { MemoryDiskHost, MemoryFile, SparseBytes } from '../testing/memory-disk-host.ts';
import { type Disk, DiskError, type DiskFormat, openDisk } from './index.ts';
import { checkImage } from './qcow2/check.ts';
import { createQcow2 } from './qcow2/create.ts';
import { ImageFile } from './qcow2/image-file.ts';
import { openQcow2, readHeader } from './qcow2/open.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import { recount } from './qcow2/recount.ts';
import { resizeQcow2 } from './qcow2/resize.ts';
import { readSnapshots } from './qcow2/snapshot-table.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from './qcow2/snapshots.ts';
import { createVhd } from './vhd/create.ts';
import { checksum } from './vhd/footer.ts';

const size = 256 * 1024;

/** An image with something of everything in it. */
async function qcow2Image(): Promise<Uint8Array> {
  const host = new MemoryDiskHost();
  const base = await host.create('base');
  await base.write(0, [new Uint8Array(size).fill(5)]);
  const options = { size, clusterSize: 4096, backingFile: 'base', backingFormat: 'raw' };
  await createQcow2(await host.create('disk'), options);
  const file = await host.open('disk', { readOnly: false });
  const disk = await openQcow2(file, { codecs: host.codecs, openBacking: () => Promise.resolve(undefined) });
  await disk.write(0, [new Uint8Array(30_000 - (30_000 % 512)).fill(1)]);
  await disk.writeCompressed(65536, await host.codecs.deflateRaw(new Uint8Array(4096).fill(2)));
  await createSnapshot(disk, { name: 'one', now: 0 });
  await disk.writeZeroes(8192, 8192);
  await disk.write(100 * 512, [new Uint8Array(8192).fill(3)]);
  await disk.close();
  return host.files.get('disk')?.current.bytes() ?? new Uint8Array();
}

async function vhdImage(): Promise<Uint8Array> {
  const host = new MemoryDiskHost();
  const file = await host.create('disk');
  await createVhd(file, { size, subformat: 'dynamic', uuid: new Uint8Array(16), timestamp: 0 });
  const disk = await openDisk(host, 'disk', { format: 'vhd', readOnly: false });
  await disk.write(0, [new Uint8Array(4096).fill(1)]);
  await disk.close();
  return host.files.get('disk')?.current.bytes() ?? new Uint8Array();
}

function hostWith(bytes: Uint8Array): MemoryDiskHost {
  const host = new MemoryDiskHost();
  for (const [name, content] of [
    ['disk', bytes],
    ['base', new Uint8Array(size).fill(5)],
  ] as const) {
    const sparse = new SparseBytes();
    sparse.write(0, content);
    host.files.set(name, MemoryFile.of(sparse));
  }
  return host;
}

/** Anything but a DiskError is a bug of ours. */
async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    assert.ok(error.message.length > 0);
  }
}

async function use(disk: Disk, changes: (disk: Disk) => Promise<void>): Promise<void> {
  const into = new Uint8Array(Math.min(disk.size, 2 ** 20));
  await attempt(() => disk.read(0, [into]));
  if (!disk.readOnly) {
    const length = Math.min(disk.size, 65536);
    await attempt(() => disk.write(0, [new Uint8Array(length).fill(7)]));
    await attempt(() => disk.discard(0, length));
    await attempt(() => disk.writeZeroes(0, length));
    await attempt(() =>
      disk.write(disk.size - (disk.size === 0 ? 0 : 512), [new Uint8Array(disk.size === 0 ? 0 : 512)]),
    );
    await attempt(() => disk.flush());
    await changes(disk);
  }
  await attempt(() => disk.close());
}

async function useAs(format: DiskFormat, bytes: Uint8Array, changes: (disk: Disk) => Promise<void>): Promise<void> {
  for (const readOnly of [true, false]) {
    await attempt(async () => use(await openDisk(hostWith(bytes), 'disk', { format, readOnly }), changes));
  }
}

async function changeQcow2(disk: Disk): Promise<void> {
  if (!(disk instanceof Qcow2Disk)) return;
  await attempt(() => createSnapshot(disk, { name: 'two', now: 0 }));
  await attempt(() => applySnapshot(disk, 'one'));
  await attempt(() => deleteSnapshot(disk, 'one'));
  if (disk.size < 2 ** 40) await attempt(() => resizeQcow2(disk, disk.size + 4096));
}

async function checkQcow2(bytes: Uint8Array): Promise<void> {
  const host = hostWith(bytes);
  const file = await host.open('disk', { readOnly: false });
  await attempt(async () => checkImage(new ImageFile(file, await readHeader(file))));
  await attempt(async () => readSnapshots(new ImageFile(file, await readHeader(file))));
  await attempt(async () => recount(new ImageFile(file, await readHeader(file)), { evenDamaged: true }));
  await attempt(async () => checkImage(new ImageFile(file, await readHeader(file))));
}

/** Bytes, or whole big-endian words, that are put somewhere; most of them into the tables, where they say most. */
const spoiling = (length: number, favoured: number) =>
  fc.array(
    fc.record({
      at: fc.oneof({ weight: 3, arbitrary: fc.nat(favoured) }, { weight: 2, arbitrary: fc.nat(length - 9) }),
      value: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.constantFrom(0, 1, 2, 3, 0xffff, 0x10000, 0x7fffffff, 0xffffffff).map((word) => {
          const bytes = new Uint8Array(4);
          new DataView(bytes.buffer).setUint32(0, word);
          return bytes;
        }),
        fc.nat(40).map((cluster) => new Uint8Array([0x80, 0, 0, 0, 0, 0, cluster << 4, 0])),
      ),
      aligned: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  );

function spoil(bytes: Uint8Array, changes: readonly { at: number; value: Uint8Array; aligned: boolean }[]): Uint8Array {
  const spoilt = bytes.slice();
  for (const { at, value, aligned } of changes) spoilt.set(value, aligned ? at & ~3 : at);
  return spoilt;
}

describe('an image in which bytes were changed', () => {
  it('as qcow2 is used, refused, or found damaged', async () => {
    const image = await qcow2Image();
    await fc.assert(
      fc.asyncProperty(spoiling(image.length, 600), async (changes) => {
        const bytes = spoil(image, changes);
        await useAs('qcow2', bytes, changeQcow2);
        await checkQcow2(bytes);
      }),
      fuzz(250),
    );
  });

  it('as VHD is used or refused, also when its checksums are right', async () => {
    const image = await vhdImage();
    await fc.assert(
      fc.asyncProperty(spoiling(image.length, 1700), fc.boolean(), async (changes, summed) => {
        const bytes = spoil(image, changes);
        if (summed) {
          const view = new DataView(bytes.buffer);
          view.setUint32(64, checksum(bytes.subarray(0, 512), 64));
          view.setUint32(512 + 36, checksum(bytes.subarray(512, 1536), 36));
          bytes.copyWithin(bytes.length - 512, 0, 512);
        }
        await useAs('vhd', bytes, () => Promise.resolve());
      }),
      fuzz(100),
    );
  });

  it('or cut off anywhere is used or refused', async () => {
    const image = await qcow2Image();
    await fc.assert(
      fc.asyncProperty(fc.nat(image.length), async (length) => {
        await useAs('qcow2', image.slice(0, length), changeQcow2);
      }),
      fuzz(40),
    );
  });
});
