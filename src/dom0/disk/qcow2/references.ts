/** Walks everything that refers to clusters of an image's file, and counts. */
import { DiskError } from '../disk-error.ts';
import { breathe } from '../turns.ts';
import { ENTRY_SIZE, EntryTable, OFLAG_COMPRESSED, OFLAG_ZERO } from './entry-table.ts';
import { type ClusterRun, type ImageFile } from './image-file.ts';
import { compressedPlace } from './mapping.ts';
import { readSnapshots, snapshotTableLength } from './snapshot-table.ts';

/** Images with more clusters than this are not counted: 16 TiB of the usual ones. */
const MAX_COUNTED_CLUSTERS = 2 ** 28;
const MAX_PROBLEMS = 100;
/** So many tables are walked before others get their turn. */
const TABLES_AT_A_TIME = 32;

export interface References {
  /** By cluster of the file. */
  readonly counts: Uint32Array;
  /** What refers to something that cannot be, each a sentence; the first ones. */
  readonly problems: string[];
  /** All of them. */
  problemCount: number;
  allocated: number;
  compressed: number;
  fragmented: number;
}

/** An L2 table, and from how many L1 entries it is reached. */
interface L2Use {
  times: number;
  isActive: boolean;
}

/** Everything but the refcount table and its blocks. */
export async function countReferences(image: ImageFile): Promise<References> {
  const { header, clusterSize } = image;
  const clusters = Math.ceil((await image.file.size()) / clusterSize);
  if (clusters > MAX_COUNTED_CLUSTERS) {
    throw new DiskError('ENOTSUP', `${image.file.path} has too many clusters to be counted`);
  }
  const references: References = {
    counts: new Uint32Array(clusters),
    problems: [],
    problemCount: 0,
    allocated: 0,
    compressed: 0,
    fragmented: 0,
  };
  const counter = new Counter(image, references);
  counter.add({ first: 0, count: 1 }, 1, 'the header');
  const tables = new Map<number, L2Use>();
  await counter.addL1(header.l1TableOffset, header.l1Size, true, tables);
  const snapshots = await readSnapshots(image);
  if (snapshots.length > 0) {
    counter.add(image.clustersAt(header.snapshotsOffset, snapshotTableLength(snapshots)), 1, 'the snapshot table');
  }
  for (const { l1TableOffset, l1Size } of snapshots) await counter.addL1(l1TableOffset, l1Size, false, tables);
  for (const [offset, use] of tables) await counter.addL2(offset, use);
  return references;
}

export function note(references: References, problem: string): void {
  references.problemCount++;
  if (references.problems.length < MAX_PROBLEMS) references.problems.push(problem);
}

class Counter {
  readonly #image: ImageFile;
  readonly #references: References;
  readonly #bytes: Uint8Array;
  readonly #table: EntryTable;
  #lastHost = 0;
  #walked = 0;

  constructor(image: ImageFile, references: References) {
    this.#image = image;
    this.#references = references;
    this.#bytes = new Uint8Array(image.clusterSize);
    this.#table = new EntryTable(this.#bytes);
  }

  /** Says whether all of it lies in the file. */
  add({ first, count }: ClusterRun, times: number, what: string): boolean {
    const { counts } = this.#references;
    if (!Number.isInteger(first) || first + count > counts.length) {
      note(this.#references, `${what} is at an impossible place (cluster ${first})`);
      return false;
    }
    for (let cluster = first; cluster < first + count; cluster++) counts[cluster] = (counts[cluster] ?? 0) + times;
    return true;
  }

  async addL1(offset: number, entries: number, isActive: boolean, tables: Map<number, L2Use>): Promise<void> {
    const bytes = entries * ENTRY_SIZE;
    if (!this.add(this.#image.clustersAt(offset, bytes), 1, isActive ? 'the L1 table' : 'the L1 table of a snapshot'))
      return;
    const l1 = new Uint8Array(bytes);
    await this.#image.file.read(offset, [l1]);
    const table = new EntryTable(l1);
    for (let index = 0; index < entries; index++) {
      const l2 = table.offset(index);
      if (l2 === 0) continue;
      if (!this.add({ first: l2 / this.#image.clusterSize, count: 1 }, 1, `L2 table ${index}`)) continue;
      const use = tables.get(l2);
      if (use === undefined) tables.set(l2, { times: 1, isActive });
      else {
        use.times++;
        use.isActive ||= isActive;
      }
    }
  }

  async addL2(offset: number, { times, isActive }: L2Use): Promise<void> {
    const { clusterSize, file } = this.#image;
    const references = this.#references;
    await file.read(offset, [this.#bytes]);
    for (let index = 0; index < this.#table.length; index++) {
      const high = this.#table.high(index);
      const low = this.#table.low(index);
      if ((high & OFLAG_COMPRESSED) !== 0) {
        const { start, length } = compressedPlace(this.#image, high, low);
        this.add(this.#image.clustersAt(start, length), times, `a compressed cluster of the table at ${offset}`);
        if (isActive) {
          references.compressed++;
          references.allocated++;
          references.fragmented++;
        }
        continue;
      }
      const host = this.#table.offset(index);
      if (host === 0) continue;
      if (!this.add({ first: host / clusterSize, count: 1 }, times, `a cluster of the table at ${offset}`)) continue;
      if (!isActive) continue;
      if ((low & OFLAG_ZERO) === 0 || this.#image.header.version < 3) references.allocated++;
      if (this.#lastHost !== 0 && host !== this.#lastHost + clusterSize) references.fragmented++;
      this.#lastHost = host;
    }
    if (++this.#walked % TABLES_AT_A_TIME === 0) await breathe();
  }
}
