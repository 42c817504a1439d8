/** Makes an empty qcow2 image. */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { SECTOR_SIZE } from '../disk.ts';
import { ENTRY_SIZE, EntryTable } from './entry-table.ts';
import {
  CompatibleLazyRefcounts,
  type CompressionType,
  Incompatible,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_REFCOUNT_TABLE_BYTES,
  MIN_CLUSTER_BITS,
  type Qcow2Header,
  serialiseHeader,
} from './header.ts';
import { DEFAULT_REFCOUNT_ORDER, refcountWidth } from './refcount-width.ts';

export const preallocations = ['off', 'metadata', 'full'] as const;
export type Preallocation = (typeof preallocations)[number];

export interface Qcow2CreateOptions {
  readonly size: number;
  /** `0.10` is version 2, `1.1` version 3, as in qemu-img. */
  readonly compat?: '0.10' | '1.1';
  readonly clusterSize?: number;
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  readonly compressionType?: CompressionType;
  readonly backingFile?: string;
  readonly backingFormat?: string;
}

export const DEFAULT_CLUSTER_SIZE = 65536;

/** Writes header, tables and counts of an image in which nothing is allocated. The file is empty, or a block device. */
export async function createQcow2(file: DiskFile, options: Qcow2CreateOptions): Promise<void> {
  const header = newHeader(file.path, options);
  const clusterSize = 2 ** header.clusterBits;
  const l1Clusters = Math.ceil((header.l1Size * ENTRY_SIZE) / clusterSize);
  const width = refcountWidth(header.refcountOrder);
  const perBlock = width.perBlock(clusterSize);
  let blocks = 1;
  let tableClusters = 1;
  const total = (): number => 1 + tableClusters + blocks + l1Clusters;
  while (blocks * perBlock < total() || tableClusters * (clusterSize / ENTRY_SIZE) < blocks) {
    if (blocks * perBlock < total()) blocks++;
    else tableClusters++;
  }
  if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) throw tooLarge(file.path, clusterSize);
  header.refcountTableOffset = clusterSize;
  header.refcountTableClusters = tableClusters;
  header.l1TableOffset = (1 + tableClusters + blocks) * clusterSize;
  const table = new EntryTable(new Uint8Array(tableClusters * clusterSize));
  for (let index = 0; index < blocks; index++) {
    const block = new Uint8Array(clusterSize);
    const used = Math.min(perBlock, total() - index * perBlock);
    for (let at = 0; at < used; at++) width.set(block, at, 1);
    table.setOffset(index, (1 + tableClusters + index) * clusterSize);
    await file.write(table.offset(index), [block]);
  }
  await file.write(header.refcountTableOffset, [table.bytes]);
  await file.write(header.l1TableOffset, [new Uint8Array(l1Clusters * clusterSize)]);
  await file.flush();
  // The header last: what is cut short is not an image.
  await file.write(0, [serialiseHeader(header, file.path)]);
  await file.flush();
}

function newHeader(path: string, options: Qcow2CreateOptions): Qcow2Header {
  const clusterSize = options.clusterSize ?? DEFAULT_CLUSTER_SIZE;
  const clusterBits = Math.log2(clusterSize);
  const refuse = (what: string): never => {
    throw new DiskError('EINVAL', `${path}: ${what}`);
  };
  if (!Number.isInteger(clusterBits) || clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    refuse('a cluster size is a power of two from 512 to 2M');
  }
  const refcountOrder = options.refcountBits === undefined ? DEFAULT_REFCOUNT_ORDER : Math.log2(options.refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountOrder > 6)
    refuse('reference counts have 1, 2, 4, 8, 16, 32 or 64 bits');
  const version = options.compat === '0.10' ? 2 : 3;
  const { lazyRefcounts = false, compressionType = 'zlib', backingFile, backingFormat } = options;
  if (version === 2) {
    if (lazyRefcounts) refuse('lazy refcounts need compat=1.1');
    if (refcountOrder !== DEFAULT_REFCOUNT_ORDER) refuse('other reference counts than of 16 bits need compat=1.1');
    if (compressionType !== 'zlib') refuse('another compression type than zlib needs compat=1.1');
  }
  if (backingFile !== undefined && backingFormat === undefined) refuse('the format of the backing file must be given');
  const size = Math.ceil(options.size / SECTOR_SIZE) * SECTOR_SIZE;
  const l1Size = Math.ceil(size / (clusterSize * (clusterSize / ENTRY_SIZE)));
  if (!Number.isSafeInteger(size) || size < 0) refuse('no such size');
  if (l1Size * ENTRY_SIZE > MAX_L1_BYTES) throw tooLarge(path, clusterSize);
  return {
    version,
    backingFile,
    backingFormat,
    clusterBits,
    size,
    l1Size: Math.max(1, l1Size),
    l1TableOffset: 0,
    refcountTableOffset: 0,
    refcountTableClusters: 0,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: compressionType === 'zlib' ? 0 : Incompatible.compressionType,
    compatibleFeatures: lazyRefcounts ? CompatibleLazyRefcounts : 0,
    hasAutoclear: false,
    refcountOrder,
    compressionType,
  };
}

function tooLarge(path: string, clusterSize: number): DiskError {
  return new DiskError('EINVAL', `${path}: the disk is too large for clusters of ${clusterSize} bytes`, {
    hint: 'larger clusters (cluster_size) allow larger disks',
  });
}
