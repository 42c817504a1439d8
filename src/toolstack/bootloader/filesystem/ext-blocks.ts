/** Where the blocks of an ext file lie: a tree of extents (ext4) or block numbers in up to three levels (ext2, ext3). */
import { BootFailure } from '../boot-failure.ts';
import type { Run } from './runs.ts';

type ReadBlock = (number: number) => Promise<Uint8Array>;

const EXTENT_MAGIC = 0xf30a;
const EXTENT_ENTRY = 12;
/** linux: EXT4_MAX_EXTENT_DEPTH */
const MAX_DEPTH = 5;
/** A longer extent is allocated and not written: it reads as zeroes. */
const MAX_WRITTEN = 32768;

export async function* extentRuns(node: Uint8Array, read: ReadBlock, level?: number): AsyncGenerator<Run, void> {
  const view = new DataView(node.buffer, node.byteOffset, node.length);
  const entries = view.getUint16(2, true);
  const depth = view.getUint16(6, true);
  const isSound =
    view.getUint16(0, true) === EXTENT_MAGIC &&
    (entries + 1) * EXTENT_ENTRY <= node.length &&
    depth <= MAX_DEPTH &&
    (level === undefined || depth === level);
  if (!isSound) throw new BootFailure('the file system is damaged: a tree of extents');
  for (let entry = 1; entry <= entries; entry++) {
    const at = entry * EXTENT_ENTRY;
    if (depth > 0) {
      const child = view.getUint16(at + 8, true) * 2 ** 32 + view.getUint32(at + 4, true);
      yield* extentRuns((await read(child)).slice(), read, depth - 1);
      continue;
    }
    const length = view.getUint16(at + 4, true);
    const from = view.getUint16(at + 6, true) * 2 ** 32 + view.getUint32(at + 8, true);
    const isWritten = length <= MAX_WRITTEN;
    yield {
      to: view.getUint32(at, true),
      from: isWritten ? from : undefined,
      count: isWritten ? length : length - MAX_WRITTEN,
    };
  }
}

const DIRECT = 12;
const LEVELS = 3;

/** `blocks` is how many the file has. Numbers that follow each other become one run. */
export async function* mapRuns(
  map: Uint8Array,
  blocks: number,
  blockSize: number,
  read: ReadBlock,
): AsyncGenerator<Run, void> {
  let run: Run | undefined;
  for await (const [to, from] of blocksOf(map, blocks, blockSize, read)) {
    if (run?.from !== undefined && to === run.to + run.count && from === run.from + run.count) {
      run = { ...run, count: run.count + 1 };
      continue;
    }
    if (run !== undefined) yield run;
    run = { to, from, count: 1 };
  }
  if (run !== undefined) yield run;
}

type Mapped = readonly [to: number, from: number];

async function* blocksOf(
  map: Uint8Array,
  blocks: number,
  blockSize: number,
  read: ReadBlock,
): AsyncGenerator<Mapped, void> {
  const view = new DataView(map.buffer, map.byteOffset, map.length);
  const perBlock = blockSize / 4;
  for (let block = 0; block < Math.min(DIRECT, blocks); block++) {
    const from = view.getUint32(block * 4, true);
    if (from !== 0) yield [block, from];
  }
  let to = DIRECT;
  for (let level = 1; level <= LEVELS && to < blocks; level++) {
    const table = view.getUint32((DIRECT + level - 1) * 4, true);
    yield* tableBlocks(table, level, to);
    to += perBlock ** level;
  }

  async function* tableBlocks(table: number, level: number, first: number): AsyncGenerator<Mapped, void> {
    if (table === 0) return;
    const bytes = (await read(table)).slice();
    const entries = new DataView(bytes.buffer);
    const each = perBlock ** (level - 1);
    for (let entry = 0; entry < perBlock; entry++) {
      const at = first + entry * each;
      if (at >= blocks) return;
      const from = entries.getUint32(entry * 4, true);
      if (from === 0) continue;
      if (level === 1) yield [at, from];
      else yield* tableBlocks(from, level - 1, at);
    }
  }
}
