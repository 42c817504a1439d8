/** All that can be done with an image file, done to one that may be damaged: it works, or fails with a sentence. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Disk, DiskError, type DiskFormat, openDisk } from '../disk/index.ts';
import { checkImage } from '../disk/qcow2/check.ts';
import { ImageFile } from '../disk/qcow2/image-file.ts';
import { readHeader } from '../disk/qcow2/open.ts';
import { Qcow2Disk } from '../disk/qcow2/qcow2-disk.ts';
import { recount } from '../disk/qcow2/recount.ts';
import { resizeQcow2 } from '../disk/qcow2/resize.ts';
import { readSnapshots } from '../disk/qcow2/snapshot-table.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../disk/qcow2/snapshots.ts';
import { MemoryDiskHost, MemoryFile, SparseBytes } from './memory-disk-host.ts';

/** What the image `base` holds, which an image may have behind it. */
export const backing = new Uint8Array(256 * 1024).fill(5);

function hostWith(bytes: Uint8Array): MemoryDiskHost {
  const host = new MemoryDiskHost();
  for (const [name, content] of [
    ['disk', bytes],
    ['base', backing],
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

async function use(disk: Disk): Promise<void> {
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
    await changeQcow2(disk);
  }
  await attempt(() => disk.close());
}

/** Opens the image both ways and uses the disk. */
export async function useAs(format: DiskFormat, bytes: Uint8Array): Promise<void> {
  for (const readOnly of [true, false]) {
    await attempt(async () => use(await openDisk(hostWith(bytes), 'disk', { format, readOnly })));
  }
}

async function changeQcow2(disk: Disk): Promise<void> {
  if (!(disk instanceof Qcow2Disk)) return;
  await attempt(() => createSnapshot(disk, { name: 'two', now: 0 }));
  await attempt(() => applySnapshot(disk, 'one'));
  await attempt(() => deleteSnapshot(disk, 'one'));
  if (disk.size < 2 ** 40) await attempt(() => resizeQcow2(disk, disk.size + 4096));
}

/** Checks the image and mends it. */
export async function checkQcow2(bytes: Uint8Array): Promise<void> {
  const host = hostWith(bytes);
  const file = await host.open('disk', { readOnly: false });
  await attempt(async () => checkImage(new ImageFile(file, await readHeader(file))));
  await attempt(async () => readSnapshots(new ImageFile(file, await readHeader(file))));
  await attempt(async () => recount(new ImageFile(file, await readHeader(file)), { evenDamaged: true }));
  await attempt(async () => checkImage(new ImageFile(file, await readHeader(file))));
}

export interface Spoil {
  readonly at: number;
  readonly value: Uint8Array;
  readonly aligned: boolean;
}

/** Bytes, or whole big-endian words, that are put somewhere; most of them into the tables, where they say most. */
export const spoiling = (length: number, favoured: number): fc.Arbitrary<readonly Spoil[]> =>
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

export function spoil(bytes: Uint8Array, changes: readonly Spoil[]): Uint8Array {
  const spoilt = bytes.slice();
  for (const { at, value, aligned } of changes) spoilt.set(value, aligned ? at & ~3 : at);
  return spoilt;
}
