/** Reading a qcow2 image that is in the page cache, as the block backend does: what its format and Node cost. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDisk } from '../../src/dom0/disk/create-disk.ts';
import { type Disk, openDisk } from '../../src/dom0/disk/index.ts';
import { nodeDiskHost } from '../../src/host/node/disk-files.ts';
import type { Row } from '../row.ts';

const MiB = 2 ** 20;
const SIZE = 256 * MiB;

async function withImage<T>(use: (disk: Disk) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-image-'));
  const path = join(folder, 'disk.qcow2');
  try {
    const vhd = { subformat: 'dynamic', uuid: new Uint8Array(16), timestamp: 0 } as const;
    await createDisk(nodeDiskHost, path, { format: 'qcow2', size: SIZE, preallocation: 'full', vhd });
    const disk = await openDisk(nodeDiskHost, path, { format: 'qcow2', readOnly: false });
    try {
      return await use(disk);
    } finally {
      await disk.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Requests a second. */
async function requests(disk: Disk, length: number, depth: number, count: number): Promise<number> {
  let next = 0;
  const begin = performance.now();
  const worker = async (): Promise<void> => {
    const into = [new Uint8Array(length)];
    // A prime stride visits all places in no order.
    while (next < count) await disk.read(((next++ * 7919) % (SIZE / length)) * length, into);
  };
  await Promise.all(Array.from({ length: depth }, worker));
  return (count / (performance.now() - begin)) * 1000;
}

export const imageThroughput: Row = {
  name: 'image.qcow2.read',
  about: 'qcow2 image in the page cache, 1 MiB reads, 4 at a time',
  unit: 'MB/s',
  better: 'higher',
  goal: 2000,
  peers: { 'qemu-img': 4200 },
  measure: () => withImage(async (disk) => (await requests(disk, MiB, 4, 1024)) * (MiB / 1e6)),
};

export const imageRequests: Row = {
  name: 'image.qcow2.requests',
  about: 'qcow2 image in the page cache, random 4 KiB reads, 32 at a time',
  unit: 'thousand/s',
  better: 'higher',
  goal: 30,
  peers: { 'qemu-img': 180 },
  measure: () => withImage(async (disk) => (await requests(disk, 4096, 32, 40_000)) / 1000),
};
