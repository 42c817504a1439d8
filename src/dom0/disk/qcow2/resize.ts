/** Growing, shrinking, and allocating in advance. */
import { DiskError } from '../disk-error.ts';
import { SECTOR_SIZE } from '../disk.ts';
import { ENTRY_SIZE } from './entry-table.ts';
import { MAX_L1_BYTES } from './header.ts';
import { type Qcow2Disk } from './qcow2-disk.ts';
import { allocateTable, writeSizeAndL1 } from './snapshots.ts';

export async function resizeQcow2(disk: Qcow2Disk, wanted: number): Promise<void> {
  const { image, mapping, refcounts } = disk;
  const { header, clusterSize, file } = image;
  const size = Math.ceil(wanted / SECTOR_SIZE) * SECTOR_SIZE;
  const before = header.size;
  const entries = Math.ceil(size / (clusterSize * (clusterSize / ENTRY_SIZE)));
  if (entries * ENTRY_SIZE > MAX_L1_BYTES || !Number.isSafeInteger(size)) {
    throw new DiskError('EINVAL', `${file.path}: the disk would be too large for clusters of ${clusterSize} bytes`);
  }
  if (header.version < 3 && header.snapshotCount > 0) {
    throw new DiskError('ENOTSUP', `${file.path}: a version 2 image with snapshots keeps its size`);
  }
  if (size < before) {
    const from = Math.ceil(size / clusterSize) * clusterSize;
    if (from < before) await disk.discard(from, before - from);
  }
  await disk.alone(async () => {
    header.size = size;
    if (entries <= header.l1Size) return writeSizeAndL1(image);
    const bytes = new Uint8Array(entries * ENTRY_SIZE);
    bytes.set(mapping.l1.bytes);
    const run = await allocateTable(disk, bytes.length);
    await file.write(run.first * clusterSize, [bytes]);
    await disk.commits.settle(mapping);
    const old = image.clustersAt(header.l1TableOffset, header.l1Size * ENTRY_SIZE);
    header.l1Size = entries;
    header.l1TableOffset = run.first * clusterSize;
    await writeSizeAndL1(image);
    mapping.replaceL1(bytes, header.l1TableOffset);
    image.unreserve(old);
    await refcounts.update([old], -1);
    await disk.commits.settle(mapping);
  });
  if (size > before) {
    // What a smaller disk has left behind its end, or a larger backing file has there, is not the disk's.
    const tail = Math.min(size, Math.ceil(before / clusterSize) * clusterSize);
    const covered = Math.min(size, Math.max(tail, disk.backing?.size ?? 0));
    await disk.writeZeroes(before, covered - before);
  }
}

/** Gives every cluster of the disk a cluster of the file, which is full of zeroes. */
export async function preallocate(disk: Qcow2Disk, onProgress?: (done: number) => void): Promise<void> {
  const { image, mapping, refcounts, commits } = disk;
  const { clusterSize, header } = image;
  const span = clusterSize * (clusterSize / ENTRY_SIZE);
  if (image.file.kind !== 'file') {
    throw new DiskError(
      'ENOTSUP',
      `${image.file.path}: a block device cannot be allocated in advance without writing it`,
      {
        hint: 'preallocation=full writes it',
      },
    );
  }
  for (let at = 0; at < header.size;) {
    const end = Math.min(header.size, (Math.floor(at / span) + 1) * span);
    await disk.alone(async () => {
      while (at < end) {
        const run = await refcounts.allocate(Math.ceil((end - at) / clusterSize));
        image.end = Math.max(image.end, (run.first + run.count) * clusterSize);
        await commits.markDirty();
        await mapping.point(at, run.count, run.first * clusterSize);
        at += run.count * clusterSize;
      }
    });
    onProgress?.(Math.min(at, header.size));
  }
}
