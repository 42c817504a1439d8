/**
 * Counts the references of an image anew and gives it a new refcount table, in place of one that is not to be relied on. The new one lies
 * behind everything that is in use and is complete before the header names it.
 */
import { DiskError } from '../disk-error.ts';
import { ENTRY_SIZE, EntryTable, OFLAG_COMPRESSED, OFLAG_COPIED } from './entry-table.ts';
import { headerAt, Incompatible, MAX_REFCOUNT_TABLE_BYTES } from './header.ts';
import { type ImageFile } from './image-file.ts';
import { countReferences, type References } from './references.ts';
import { refcountWidth } from './refcount-width.ts';

/** For an image that is not open otherwise. Refuses when something refers to what cannot be, unless `evenDamaged`. */
export async function recount(image: ImageFile, options: { readonly evenDamaged?: boolean } = {}): Promise<References> {
  const { file, header } = image;
  const references = await countReferences(image);
  if (references.problemCount > 0 && options.evenDamaged !== true) {
    throw new DiskError('EIO', `${file.path} is damaged: ${references.problems[0]}`, {
      hint: 'xl-image check -r all repairs what can be repaired',
    });
  }
  const { tableOffset, tableClusters } = await writeCounts(image, references.counts);
  await file.flush();
  await image.writeHeaderFields(headerAt.refcountTable, [
    [8, tableOffset],
    [4, tableClusters],
  ]);
  header.refcountTableOffset = tableOffset;
  header.refcountTableClusters = tableClusters;
  await file.flush();
  await correctFlags(image, references.counts);
  await file.flush();
  const bad = Incompatible.dirty | (references.problemCount === 0 ? Incompatible.corrupt : 0);
  if ((header.incompatibleFeatures & bad) !== 0) await image.setIncompatible(header.incompatibleFeatures & ~bad);
  return references;
}

async function writeCounts(
  image: ImageFile,
  counts: Uint32Array,
): Promise<{ tableOffset: number; tableClusters: number }> {
  const { file, clusterSize } = image;
  const width = refcountWidth(image.header.refcountOrder);
  const perBlock = width.perBlock(clusterSize);
  let used = counts.length;
  while (used > 0 && counts[used - 1] === 0) used--;
  let blocks = 0;
  let tableClusters = 1;
  // The table and the blocks count themselves.
  while (blocks * perBlock < used + blocks + tableClusters || tableClusters * (clusterSize / ENTRY_SIZE) < blocks) {
    if (blocks * perBlock < used + blocks + tableClusters) blocks++;
    else tableClusters++;
  }
  if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
    throw new DiskError('ENOTSUP', `${file.path} is too large for clusters of ${clusterSize} bytes`);
  }
  const tableOffset = used * clusterSize;
  const end = used + tableClusters + blocks;
  const table = new EntryTable(new Uint8Array(tableClusters * clusterSize));
  for (let index = 0; index < blocks; index++) {
    const block = new Uint8Array(clusterSize);
    for (let at = 0; at < perBlock; at++) {
      const cluster = index * perBlock + at;
      const count = cluster >= used ? Number(cluster < end) : (counts[cluster] ?? 0);
      if (count > width.max) throw new DiskError('ENOTSUP', `${file.path}: cluster ${cluster} has too many references`);
      if (count > 0) width.set(block, at, count);
    }
    const offset = tableOffset + (tableClusters + index) * clusterSize;
    table.setOffset(index, offset);
    await file.write(offset, [block]);
  }
  await file.write(tableOffset, [table.bytes]);
  return { tableOffset, tableClusters };
}

/** "Only this table refers to it" is true where the count is 1, and nowhere else. */
async function correctFlags(image: ImageFile, counts: Uint32Array): Promise<void> {
  const { file, header, clusterSize } = image;
  const isOurs = (offset: number): boolean => counts[offset / clusterSize] === 1;
  const l1 = new EntryTable(new Uint8Array(header.l1Size * ENTRY_SIZE));
  await file.read(header.l1TableOffset, [l1.bytes]);
  const l2 = new EntryTable(new Uint8Array(clusterSize));
  for (let index = 0; index < l1.length; index++) {
    const offset = l1.offset(index);
    if (offset === 0 || counts[offset / clusterSize] === undefined) continue;
    await file.read(offset, [l2.bytes]);
    if (setFlags(l2, isOurs)) await file.write(offset, [l2.bytes]);
  }
  if (setFlags(l1, isOurs)) await file.write(header.l1TableOffset, [l1.bytes]);
}

function setFlags(table: EntryTable, isOurs: (offset: number) => boolean): boolean {
  let changed = false;
  for (let index = 0; index < table.length; index++) {
    const offset = table.offset(index);
    if ((table.high(index) & OFLAG_COMPRESSED) !== 0 || offset === 0) continue;
    const ours = isOurs(offset);
    if (ours === table.isCopied(index)) continue;
    table.set(index, ((table.high(index) & ~OFLAG_COPIED) | (ours ? OFLAG_COPIED : 0)) >>> 0, table.low(index));
    changed = true;
  }
  return changed;
}
