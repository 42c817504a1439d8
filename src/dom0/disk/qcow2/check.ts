/** What `xl-image check` says of a qcow2 image: the counts that are stored against those that the tables give. */
import { ENTRY_SIZE, EntryTable, OFLAG_COMPRESSED } from './entry-table.ts';
import { Incompatible } from './header.ts';
import { type ImageFile } from './image-file.ts';
import { countReferences, note, type References } from './references.ts';
import { refcountWidth } from './refcount-width.ts';

export interface CheckReport {
  /** What would make a guest read wrong data, now or after further writes. */
  readonly corruptions: number;
  /** Clusters that count as used and are not. */
  readonly leaks: number;
  /** Sentences about the first corruptions. */
  readonly problems: readonly string[];
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  readonly fragmentedClusters: number;
  /** Byte behind the last cluster in use. */
  readonly imageEndOffset: number;
}

export async function checkImage(image: ImageFile): Promise<CheckReport> {
  const { file, header, clusterSize } = image;
  const references = await countReferences(image);
  const table = new EntryTable(new Uint8Array(header.refcountTableClusters * clusterSize));
  await file.read(header.refcountTableOffset, [table.bytes]);
  countOwn(image, references, table);
  const { leaks, end } = await compareCounts(image, references, table);
  if ((header.incompatibleFeatures & Incompatible.corrupt) !== 0) note(references, 'the image is marked as corrupt');
  await checkFlags(image, references);
  return {
    corruptions: references.problemCount,
    leaks,
    problems: references.problems,
    totalClusters: Math.ceil(header.size / clusterSize),
    allocatedClusters: references.allocated,
    compressedClusters: references.compressed,
    fragmentedClusters: references.fragmented,
    imageEndOffset: end * clusterSize,
  };
}

/** The refcount table and its blocks. */
function countOwn({ header, clusterSize }: ImageFile, references: References, table: EntryTable): void {
  const { counts } = references;
  const first = header.refcountTableOffset / clusterSize;
  for (let cluster = first; cluster < first + header.refcountTableClusters; cluster++) {
    counts[cluster] = (counts[cluster] ?? 0) + 1;
  }
  for (let index = 0; index < table.length; index++) {
    const offset = table.offset(index);
    if (offset === 0) continue;
    const cluster = offset / clusterSize;
    if (counts[cluster] === undefined) note(references, `refcount block ${index} is at an impossible place`);
    else counts[cluster]++;
  }
}

async function compareCounts(
  { file, header, clusterSize }: ImageFile,
  references: References,
  table: EntryTable,
): Promise<{ leaks: number; end: number }> {
  const { counts } = references;
  const width = refcountWidth(header.refcountOrder);
  const perBlock = width.perBlock(clusterSize);
  const block = new Uint8Array(clusterSize);
  let leaks = 0;
  let end = 0;
  for (let first = 0; first < counts.length; first += perBlock) {
    const index = first / perBlock;
    const offset = index < table.length ? table.offset(index) : 0;
    if (offset === 0 || counts[offset / clusterSize] === undefined) block.fill(0);
    else await file.read(offset, [block]);
    const last = Math.min(counts.length, first + perBlock);
    for (let cluster = first; cluster < last; cluster++) {
      const stored = width.get(block, cluster - first);
      const counted = counts[cluster] ?? 0;
      if (stored > 0) end = cluster + 1;
      if (stored > counted) leaks++;
      else if (stored < counted)
        note(references, `cluster ${cluster} has ${counted} references and a count of ${stored}`);
    }
  }
  return { leaks, end };
}

async function checkFlags({ file, header, clusterSize }: ImageFile, references: References): Promise<void> {
  const { counts } = references;
  const check = (table: EntryTable, what: string): void => {
    for (let index = 0; index < table.length; index++) {
      const offset = table.offset(index);
      if (offset === 0 || (table.high(index) & OFLAG_COMPRESSED) !== 0) continue;
      const counted = counts[offset / clusterSize];
      if (counted === undefined || (counted === 1) === table.isCopied(index)) continue;
      note(
        references,
        `entry ${index} of ${what} says ${table.isCopied(index) ? 'one reference' : 'several references'}, there are ${counted}`,
      );
    }
  };
  const l1 = new EntryTable(new Uint8Array(header.l1Size * ENTRY_SIZE));
  await file.read(header.l1TableOffset, [l1.bytes]);
  check(l1, 'the L1 table');
  const l2 = new EntryTable(new Uint8Array(clusterSize));
  for (let index = 0; index < l1.length; index++) {
    const offset = l1.offset(index);
    if (offset === 0 || counts[offset / clusterSize] === undefined) continue;
    await file.read(offset, [l2.bytes]);
    check(l2, `L2 table ${index}`);
  }
}
