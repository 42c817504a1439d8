/**
 * Making, going back to, and deleting internal snapshots. A snapshot is an L1 table of its own; it and the disk share L2 tables and clusters,
 * which is what counts above 1 and flags in the tables say. Each change becomes true by one write to the header; a crash before it or after
 * it leaves clusters that leak.
 */
import { DiskError } from '../disk-error.ts';
import { ENTRY_SIZE, EntryTable, OFLAG_COMPRESSED, OFLAG_COPIED } from './entry-table.ts';
import { headerAt } from './header.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { type Qcow2Disk } from './qcow2-disk.ts';
import { countReferences } from './references.ts';
import { readSnapshots, serialiseSnapshots, type Snapshot, snapshotTableLength } from './snapshot-table.ts';

/** Changed counts in memory that are written before more are changed. */
const COUNTS_AT_A_TIME = 16 * 2 ** 20;

export interface NewSnapshot {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export function createSnapshot(disk: Qcow2Disk, { name, now }: NewSnapshot): Promise<Snapshot> {
  const { image, mapping } = disk;
  const { header } = image;
  return disk.alone(async () => {
    const snapshots = await readSnapshots(image);
    if (snapshots.some((one) => one.name === name || one.id === name)) {
      throw new DiskError('EEXIST', `${image.file.path} has a snapshot "${name}" already`);
    }
    const bytes = header.l1Size * ENTRY_SIZE;
    await share(disk, mapping.l1);
    await setFlags(disk, () => false);
    const run = await allocateTable(disk, bytes);
    await image.file.write(run.first * image.clusterSize, [mapping.l1.bytes]);
    await disk.commits.settle(mapping);
    const ids = snapshots.map(({ id }) => Number(id)).filter(Number.isSafeInteger);
    const snapshot: Snapshot = {
      id: String(Math.max(0, ...ids) + 1),
      name,
      l1TableOffset: run.first * image.clusterSize,
      l1Size: header.l1Size,
      seconds: Math.floor(now / 1000),
      nanoseconds: (now % 1000) * 1_000_000,
      vmClock: [0, 0],
      vmStateSize: 0,
      diskSize: header.size,
      extra: new Uint8Array(),
    };
    const old =
      snapshots.length === 0 ? [] : [image.clustersAt(header.snapshotsOffset, snapshotTableLength(snapshots))];
    await replaceTable(disk, [...snapshots, snapshot]);
    await release(disk, old);
    await disk.commits.settle(mapping);
    return snapshot;
  });
}

/** The disk is again as it was, its size too. What it was meanwhile is gone, unless a snapshot has it. */
export function applySnapshot(disk: Qcow2Disk, nameOrId: string): Promise<void> {
  const { image, mapping } = disk;
  const { header, file, clusterSize } = image;
  return disk.alone(async () => {
    const { l1TableOffset, l1Size, diskSize } = find(image, await readSnapshots(image), nameOrId);
    const needed = Math.ceil(diskSize / (clusterSize * (clusterSize / ENTRY_SIZE)));
    if (needed > l1Size) throw new DiskError('EIO', `${file.path}: the snapshot's table is too small for its size`);
    const l1 = await readL1(image, l1TableOffset, l1Size);
    await share(disk, l1);
    for (let index = 0; index < l1.length; index++) {
      l1.set(index, (l1.high(index) & ~OFLAG_COPIED) >>> 0, l1.low(index));
    }
    const run = await allocateTable(disk, l1.bytes.length);
    await file.write(run.first * clusterSize, [l1.bytes]);
    await disk.commits.settle(mapping);
    const before = mapping.l1;
    const old = image.clustersAt(header.l1TableOffset, before.bytes.length);
    header.size = diskSize;
    header.l1Size = l1Size;
    header.l1TableOffset = run.first * clusterSize;
    await writeSizeAndL1(image);
    mapping.replaceL1(l1.bytes, header.l1TableOffset);
    await unshare(disk, before);
    await release(disk, [old]);
    await correctFlags(disk);
  });
}

export function deleteSnapshot(disk: Qcow2Disk, nameOrId: string): Promise<void> {
  const { image, mapping } = disk;
  return disk.alone(async () => {
    const snapshots = await readSnapshots(image);
    const gone = find(image, snapshots, nameOrId);
    const l1 = await readL1(image, gone.l1TableOffset, gone.l1Size);
    const old = [
      image.clustersAt(image.header.snapshotsOffset, snapshotTableLength(snapshots)),
      image.clustersAt(gone.l1TableOffset, gone.l1Size * ENTRY_SIZE),
    ];
    await replaceTable(
      disk,
      snapshots.filter((one) => one !== gone),
    );
    await unshare(disk, l1);
    await release(disk, old);
    await correctFlags(disk);
    await disk.commits.settle(mapping);
  });
}

/** Size, encryption (none), and the L1 table follow each other in the header, so that they change together. */
export async function writeSizeAndL1(image: ImageFile): Promise<void> {
  const { header, file } = image;
  await image.writeHeaderFields(headerAt.sizeToL1, [
    [8, header.size],
    [4, 0],
    [4, header.l1Size],
    [8, header.l1TableOffset],
  ]);
  await file.flush();
}

export async function allocateTable({ image, refcounts }: Qcow2Disk, bytes: number): Promise<ClusterRun> {
  const { count } = image.clustersAt(0, bytes);
  const run = count === 0 ? { first: 0, count } : await refcounts.allocateTable(count);
  if (image.isReserved(run)) return image.corrupt(`cluster ${run.first} counts as free but is not`);
  image.reserve(run);
  return run;
}

/** Tables that nothing names any more. */
async function release({ image, refcounts }: Qcow2Disk, runs: readonly ClusterRun[]): Promise<void> {
  for (const run of runs) image.unreserve(run);
  await refcounts.update(runs, -1);
}

function find({ file }: ImageFile, snapshots: readonly Snapshot[], nameOrId: string): Snapshot {
  const found = snapshots.find(({ name }) => name === nameOrId) ?? snapshots.find(({ id }) => id === nameOrId);
  if (found === undefined) throw new DiskError('ENOENT', `${file.path} has no snapshot "${nameOrId}"`);
  return found;
}

async function replaceTable(disk: Qcow2Disk, snapshots: readonly Snapshot[]): Promise<void> {
  const { image, commits, mapping } = disk;
  const bytes = serialiseSnapshots(snapshots);
  const run = await allocateTable(disk, bytes.length);
  const offset = run.first * image.clusterSize;
  if (bytes.length > 0) await image.file.write(offset, [bytes]);
  await commits.settle(mapping);
  image.header.snapshotCount = snapshots.length;
  image.header.snapshotsOffset = offset;
  await image.writeHeaderFields(headerAt.snapshots, [
    [4, snapshots.length],
    [8, offset],
  ]);
  await image.file.flush();
}

async function readL1(image: ImageFile, offset: number, entries: number): Promise<EntryTable> {
  const l1 = new EntryTable(new Uint8Array(entries * ENTRY_SIZE));
  if (offset + l1.bytes.length > (await image.file.size())) {
    throw new DiskError('EIO', `${image.file.path}: the table of a snapshot reaches beyond the end of the file`);
  }
  await image.file.read(offset, [l1.bytes]);
  return l1;
}

/** One more reference to all that an L1 table leads to; all of them or, when that fails, none. */
async function share(disk: Qcow2Disk, l1: EntryTable): Promise<void> {
  const done: number[] = [];
  try {
    for (let index = 0; index < l1.length; index++) {
      if (l1.offset(index) === 0) continue;
      const runs = await clustersBehind(disk, l1.offset(index));
      for (const [at, run] of runs.entries()) {
        try {
          await disk.refcounts.update([run], 1);
        } catch (error) {
          await disk.refcounts.update(runs.slice(0, at), -1);
          throw error;
        }
      }
      done.push(index);
      if (disk.refcounts.dirtyBytes > COUNTS_AT_A_TIME) await disk.commits.settle(disk.mapping);
    }
  } catch (error) {
    for (const index of done) await disk.refcounts.update(await clustersBehind(disk, l1.offset(index)), -1);
    throw error;
  }
  await disk.commits.settle(disk.mapping);
}

async function unshare(disk: Qcow2Disk, l1: EntryTable): Promise<void> {
  for (let index = 0; index < l1.length; index++) {
    if (l1.offset(index) === 0) continue;
    const runs = await clustersBehind(disk, l1.offset(index));
    await disk.refcounts.update(runs, -1);
    const [table] = runs;
    if (table !== undefined && (await disk.refcounts.get(table.first)) === 0) disk.image.unreserve(table);
    if (disk.refcounts.dirtyBytes > COUNTS_AT_A_TIME) await disk.commits.settle(disk.mapping);
  }
}

/** An L2 table, first, and what it leads to; single clusters, so that a failure in between can be told apart. */
async function clustersBehind({ image, mapping }: Qcow2Disk, offset: number): Promise<ClusterRun[]> {
  const { clusterSize, file } = image;
  const table = new EntryTable(new Uint8Array(clusterSize));
  const runs: ClusterRun[] = [{ first: offset / clusterSize, count: 1 }];
  if (offset % clusterSize !== 0) return image.corrupt('an L2 table is at an impossible place');
  await file.read(offset, [table.bytes]);
  for (let index = 0; index < table.length; index++) {
    const high = table.high(index);
    const isCompressed = (high & OFLAG_COMPRESSED) !== 0;
    const host = isCompressed ? 0 : table.offset(index);
    if (!isCompressed && host === 0) continue;
    const run = mapping.clustersOf({ kind: isCompressed ? 'compressed' : 'data', host, high, low: table.low(index) });
    if (!Number.isInteger(run.first)) return image.corrupt('a cluster is at an impossible place');
    runs.push(run);
  }
  return runs;
}

/** "Only this table refers to it" becomes true again for what no snapshot shares any more. */
async function correctFlags(disk: Qcow2Disk): Promise<void> {
  await disk.commits.settle(disk.mapping);
  const { counts } = await countReferences(disk.image);
  await setFlags(disk, (cluster) => counts[cluster] === 1);
  await disk.commits.settle(disk.mapping);
}

async function setFlags({ mapping, commits }: Qcow2Disk, isOurs: (cluster: number) => boolean): Promise<void> {
  for (let index = 0; index < mapping.l1.length; index++) {
    if (mapping.l1.offset(index) !== 0) await mapping.setCopied(index, isOurs);
    if (mapping.isFull) await commits.settle(mapping);
  }
}
