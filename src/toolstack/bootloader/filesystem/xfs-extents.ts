/** Where the blocks of an XFS file lie: packed extents in the inode, or a B+tree of such (fs/xfs/libxfs/xfs_format.h, xfs_bmbt_rec). */
import { BootFailure } from '../boot-failure.ts';
import type { Run } from './runs.ts';
import type { XfsGeometry } from './xfs.ts';

type ReadBlock = (number: number) => Promise<Uint8Array>;

const RECORD = 16;
const KEY = 8;
const MAX_LEVEL = 8;
const headers = { 4: { magic: 'BMAP', size: 24 }, 5: { magic: 'BMA3', size: 72 } } as const;

export async function* forkRuns(
  fork: Uint8Array,
  /** How many records are in use, when they are all in the inode; undefined for a tree. */
  extents: number | undefined,
  geometry: XfsGeometry,
  read: ReadBlock,
): AsyncGenerator<Run, void> {
  const view = new DataView(fork.buffer, fork.byteOffset, fork.length);
  if (extents !== undefined) {
    if (extents > Math.floor(fork.length / RECORD)) throw damaged();
    return yield* records(view, 0, extents, geometry);
  }
  const level = view.getUint16(0);
  const count = view.getUint16(2);
  const room = Math.floor((fork.length - 4) / (2 * KEY));
  if (level < 1 || level > MAX_LEVEL || count > room) throw damaged();
  yield* children(view, 4 + room * KEY, count, level, geometry, read);
}

async function* children(
  view: DataView,
  pointers: number,
  count: number,
  level: number,
  geometry: XfsGeometry,
  read: ReadBlock,
): AsyncGenerator<Run, void> {
  for (let child = 0; child < count; child++) {
    const block = blockOf(inode64(view, pointers + child * KEY), geometry);
    yield* treeBlock((await read(block)).slice(), level - 1, geometry, read);
  }
}

async function* treeBlock(
  bytes: Uint8Array,
  level: number,
  geometry: XfsGeometry,
  read: ReadBlock,
): AsyncGenerator<Run, void> {
  const { magic, size } = headers[geometry.version];
  const view = new DataView(bytes.buffer);
  const count = view.getUint16(6);
  const room = Math.floor((bytes.length - size) / RECORD);
  const isSound =
    String.fromCharCode(...bytes.subarray(0, magic.length)) === magic && view.getUint16(4) === level && count <= room;
  if (!isSound) throw damaged();
  if (level === 0) yield* records(view, size, count, geometry);
  else yield* children(view, size + room * KEY, count, level, geometry, read);
}

/** 1 bit for what is allocated and not written, 54 for the place in the file, 52 for that on the disk, 21 for the number of blocks. */
function* records(view: DataView, first: number, count: number, geometry: XfsGeometry): Generator<Run, void> {
  for (let record = 0; record < count; record++) {
    const at = first + record * RECORD;
    const [a, b, c, d] = [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)];
    const blocks = d % 2 ** 21;
    const isWritten = a < 2 ** 31;
    const to = (a % 2 ** 31) * 2 ** 23 + Math.floor(b / 2 ** 9);
    const from = (b % 2 ** 9) * 2 ** 43 + c * 2 ** 11 + Math.floor(d / 2 ** 21);
    if (!Number.isSafeInteger(to) || !Number.isSafeInteger(from)) throw damaged();
    yield { to, from: isWritten ? blockOf(from, geometry) : undefined, count: blocks };
  }
}

/** Blocks are numbered by allocation group and place in it. */
function blockOf(number: number, { agBlockLog, agBlocks, agCount }: XfsGeometry): number {
  const group = Math.floor(number / 2 ** agBlockLog);
  if (group >= agCount) throw damaged();
  return group * agBlocks + (number % 2 ** agBlockLog);
}

/** A big-endian 64-bit number, exact or refused. */
export function inode64(view: DataView, at: number): number {
  const value = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  if (!Number.isSafeInteger(value)) throw damaged();
  return value;
}

function damaged(): BootFailure {
  return new BootFailure('the file system is damaged: a number or a tree of extents');
}
