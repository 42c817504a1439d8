/** Opens a qcow2 image: header, tables that stay in memory, and what must be repaired before anything is written. */
import { DiskError } from '../disk-error.ts';
import { type Codecs, type DiskFile } from '../disk-file.ts';
import { type Disk } from '../disk.ts';
import { ENTRY_SIZE, EntryTable } from './entry-table.ts';
import { headerAt, Incompatible, parseHeader, type Qcow2Header } from './header.ts';
import { ImageFile } from './image-file.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { Refcounts } from './refcounts.ts';
import { recount } from './recount.ts';
import { readSnapshots, snapshotTableLength } from './snapshot-table.ts';

const LONGEST_HEADER = 64 * 2 ** 10;

export interface Qcow2Options {
  readonly codecs: Codecs;
  /** Opens what the header names; not called when it names nothing. */
  readonly openBacking: (name: string, format: string | undefined) => Promise<Disk | undefined>;
  /** Told how many bytes of tables this image keeps in memory; may refuse. */
  readonly takeMemory?: (bytes: number) => void;
  /** For a check that repairs: opens what would be refused otherwise. */
  readonly evenDamaged?: boolean;
}

export async function readHeader(file: DiskFile): Promise<Qcow2Header> {
  const bytes = new Uint8Array(Math.min(await file.size(), LONGEST_HEADER));
  await file.read(0, [bytes]);
  return parseHeader(bytes, file.path);
}

export async function openQcow2(file: DiskFile, options: Qcow2Options): Promise<Qcow2Disk> {
  const header = await readHeader(file);
  const image = new ImageFile(file, header);
  checkPlaces(image, await file.size());
  const tableBytes = header.refcountTableClusters * image.clusterSize;
  options.takeMemory?.(header.l1Size * ENTRY_SIZE + (file.readOnly ? 0 : tableBytes));
  if (!file.readOnly) await makeWritable(image, options);
  const fileSize = await file.size();
  image.end = Math.ceil(fileSize / image.clusterSize) * image.clusterSize;
  const l1 = new Uint8Array(header.l1Size * ENTRY_SIZE);
  await file.read(header.l1TableOffset, [l1]);
  const table = new Uint8Array(file.readOnly ? 0 : header.refcountTableClusters * image.clusterSize);
  await file.read(header.refcountTableOffset, [table]);
  const refcounts = new Refcounts(image, table);
  if (!file.readOnly) {
    reserveTables(image, l1, fileSize);
    await refcounts.checkTable(fileSize);
    const snapshots = await readSnapshots(image);
    if (snapshots.length > 0) image.reserve(image.clustersAt(header.snapshotsOffset, snapshotTableLength(snapshots)));
    for (const { l1TableOffset, l1Size } of snapshots) {
      const bytes = l1Size * ENTRY_SIZE;
      if (l1TableOffset + bytes <= fileSize) image.reserve(image.clustersAt(l1TableOffset, bytes));
    }
  }
  const { backingFile, backingFormat } = header;
  const backing = backingFile === undefined ? undefined : await options.openBacking(backingFile, backingFormat);
  return new Qcow2Disk({ image, refcounts, l1, backing, codecs: options.codecs });
}

function checkPlaces({ header, file, clusterSize }: ImageFile, fileSize: number): void {
  const inside = (name: string, offset: number, bytes: number): void => {
    if (bytes === 0 || offset + bytes <= Math.ceil(fileSize / clusterSize) * clusterSize) return;
    throw new DiskError('EINVAL', `${file.path}: the ${name} table reaches beyond the end of the file`);
  };
  inside('L1', header.l1TableOffset, header.l1Size * ENTRY_SIZE);
  inside('refcount', header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  inside('snapshot', header.snapshotsOffset, header.snapshotCount * 40);
}

async function makeWritable(image: ImageFile, options: Qcow2Options): Promise<void> {
  const { header, file } = image;
  if ((header.incompatibleFeatures & Incompatible.corrupt) !== 0 && options.evenDamaged !== true) {
    throw new DiskError('EIO', `${file.path} is marked as corrupt; it can be read only`, {
      hint: 'xl-image check -r all repairs what can be repaired',
    });
  }
  if (header.hasAutoclear) {
    // Whoever does not keep these up to date, such as dirty bitmaps, says so before the first write.
    await image.writeHeaderFields(headerAt.autoclear, [[8, 0]]);
    await file.flush();
    header.hasAutoclear = false;
  }
  if ((header.incompatibleFeatures & Incompatible.dirty) !== 0 && options.evenDamaged !== true) await recount(image);
}

function reserveTables(image: ImageFile, l1: Uint8Array, fileSize: number): void {
  const { header, clusterSize } = image;
  image.reserve(image.clustersAt(header.l1TableOffset, l1.length));
  image.reserve({ first: header.refcountTableOffset / clusterSize, count: header.refcountTableClusters });
  const entries = new EntryTable(l1);
  for (let index = 0; index < entries.length; index++) {
    const offset = entries.offset(index);
    // Others are refused when they are used.
    if (offset !== 0 && offset % clusterSize === 0 && offset < fileSize)
      image.reserve({ first: offset / clusterSize, count: 1 });
  }
}
