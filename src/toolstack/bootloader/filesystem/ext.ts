/**
 * ext2, ext3 and ext4, read only (linux: Documentation/filesystems/ext4, fs/ext4/ext4.h). Block maps and extents, 64-bit and flexible groups,
 * inline data, directories with or without an index: the index hides in blocks that look like ordinary ones. Checksums are not verified; what is read
 * is bounded instead. A journal that was not replayed is not looked at, as by pygrub.
 */
import { BootFailure } from '../boot-failure.ts';
import type { DiskBytes } from '../disk-bytes.ts';
import { extentRuns, mapRuns } from './ext-blocks.ts';
import { inlineData } from './ext-inline.ts';
import { kindOf, nameOf, uuidText, type DirectoryEntry, type Format, type FsNode } from './file-system.ts';
import { gather, type Run } from './runs.ts';

const SUPER_AT = 1024;
const SUPER_SIZE = 1024;
const MAGIC = 0xef53;
const ROOT_INODE = 2;
const OLD_INODE_SIZE = 128;

const incompat = {
  filetype: 0x2,
  recover: 0x4,
  metaBg: 0x10,
  extents: 0x40,
  bits64: 0x80,
  mmp: 0x100,
  flexBg: 0x200,
  eaInode: 0x400,
  dirData: 0x1000,
  csumSeed: 0x2000,
  largeDir: 0x4000,
  inlineData: 0x8000,
  encrypt: 0x10000,
  casefold: 0x20000,
} as const;
const understood = Object.values(incompat).reduce((all, bit) => all | bit, 0);
const RO_COMPAT_SPARSE_SUPER = 0x1;
const COMPAT_SPARSE_SUPER2 = 0x200;

const EXTENTS_FL = 0x80000;
const INLINE_DATA_FL = 0x10000000;
const ENCRYPT_FL = 0x800;

export interface ExtInode extends FsNode {
  readonly flags: number;
  /** The 60 bytes that hold a block map, extents, a short link or a short file. */
  readonly block: Uint8Array;
  /** The inode on disk. */
  readonly raw: Uint8Array;
}

interface Layout {
  readonly blockSize: number;
  readonly blocks: number;
  readonly inodes: number;
  readonly inodesPerGroup: number;
  readonly blocksPerGroup: number;
  readonly inodeSize: number;
  readonly firstDataBlock: number;
  readonly descSize: number;
  /** Groups of descriptors from here on lie where they describe; undefined when all lie behind the superblock. */
  readonly firstMetaBg: number | undefined;
  readonly hasSuper: (group: number) => boolean;
}

export class Ext implements Format<ExtInode> {
  readonly type: string;
  readonly uuid: string;
  readonly #disk: DiskBytes;
  readonly #layout: Layout;

  private constructor(disk: DiskBytes, type: string, uuid: string, layout: Layout) {
    this.#disk = disk;
    this.type = type;
    this.uuid = uuid;
    this.#layout = layout;
  }

  /** Undefined when it is no such file system. */
  static async open(disk: DiskBytes): Promise<Ext | undefined> {
    if (disk.size < SUPER_AT + SUPER_SIZE) return undefined;
    const bytes = (await disk.read(SUPER_AT, SUPER_SIZE)).slice();
    const view = new DataView(bytes.buffer);
    if (view.getUint16(0x38, true) !== MAGIC) return undefined;
    const features = view.getUint32(0x60, true);
    const unknown = features & ~understood;
    if (unknown !== 0) throw new BootFailure(`an ext4 with features that are not known (${unknown.toString(16)})`);
    const type =
      (features & incompat.extents) !== 0 ? 'ext4' : (view.getUint32(0x5c, true) & 0x4) !== 0 ? 'ext3' : 'ext2';
    return new Ext(disk, type, uuidText(bytes.subarray(0x68, 0x78)), layoutOf(view, features));
  }

  root(): Promise<ExtInode> {
    return this.#inode(ROOT_INODE);
  }

  node({ inode }: DirectoryEntry): Promise<ExtInode> {
    return this.#inode(inode);
  }

  content(node: ExtInode): Promise<Uint8Array> {
    const { size, block, flags, kind } = node;
    if ((flags & ENCRYPT_FL) !== 0) throw new BootFailure("a file in the guest's disk is encrypted");
    if ((flags & INLINE_DATA_FL) !== 0) return Promise.resolve(inlineData(node));
    if (kind === 'symlink' && size < block.length && (flags & EXTENTS_FL) === 0)
      return Promise.resolve(block.subarray(0, size));
    return gather(this.#disk, this.#layout.blockSize, size, this.#runs(node));
  }

  async *entries(directory: ExtInode): AsyncGenerator<DirectoryEntry, void> {
    if ((directory.flags & INLINE_DATA_FL) !== 0) {
      // The first four bytes are the number of the parent, in the place of `.` and `..`.
      const { block } = directory;
      yield* entriesIn(block.subarray(4));
      yield* entriesIn(inlineData(directory).subarray(block.length));
      return;
    }
    const { blockSize } = this.#layout;
    let left = Math.ceil(directory.size / blockSize);
    for await (const { from, count } of this.#runs(directory)) {
      for (let i = 0; i < count && from !== undefined; i++) {
        if (left-- <= 0) return;
        yield* entriesIn(await this.#disk.read((from + i) * blockSize, blockSize));
      }
    }
  }

  #runs({ block, flags, size }: ExtInode): AsyncGenerator<Run, void> {
    const { blockSize } = this.#layout;
    const read = (number: number): Promise<Uint8Array> => this.#disk.read(number * blockSize, blockSize);
    return (flags & EXTENTS_FL) !== 0
      ? extentRuns(block, read)
      : mapRuns(block, Math.ceil(size / blockSize), blockSize, read);
  }

  async #inode(number: number): Promise<ExtInode> {
    const { inodes, inodesPerGroup, inodeSize, blockSize } = this.#layout;
    if (number < 1 || number > inodes) throw new BootFailure(`the file system is damaged: there is no inode ${number}`);
    const group = Math.floor((number - 1) / inodesPerGroup);
    const table = await this.#inodeTable(group);
    const at = table * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
    const raw = (await this.#disk.read(at, inodeSize)).slice();
    const view = new DataView(raw.buffer);
    const kind = kindOf(view.getUint16(0, true));
    // What lies in the upper half is something else for the kinds that cannot be so long in ext2.
    const high = kind === 'file' || kind === 'directory' ? view.getUint32(0x6c, true) : 0;
    const size = high * 2 ** 32 + view.getUint32(4, true);
    return { kind, size, flags: view.getUint32(0x20, true), block: raw.subarray(0x28, 0x64), raw };
  }

  /** First block of the group's inodes. */
  async #inodeTable(group: number): Promise<number> {
    const { blockSize, descSize } = this.#layout;
    const perBlock = Math.floor(blockSize / descSize);
    const at =
      this.#descriptorBlock(Math.floor(group / perBlock), perBlock) * blockSize + (group % perBlock) * descSize;
    const bytes = await this.#disk.read(at, descSize);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const high = descSize >= 64 ? view.getUint32(0x28, true) : 0;
    return high * 2 ** 32 + view.getUint32(0x8, true);
  }

  #descriptorBlock(index: number, perBlock: number): number {
    const { blockSize, firstDataBlock, firstMetaBg, blocksPerGroup, hasSuper } = this.#layout;
    if (firstMetaBg === undefined || index < firstMetaBg) return Math.floor(SUPER_AT / blockSize) + 1 + index;
    const group = index * perBlock;
    return firstDataBlock + group * blocksPerGroup + (hasSuper(group) ? 1 : 0);
  }
}

function layoutOf(view: DataView, features: number): Layout {
  const logBlockSize = view.getUint32(0x18, true);
  const inodesPerGroup = view.getUint32(0x28, true);
  const blocksPerGroup = view.getUint32(0x20, true);
  const dynamic = view.getUint32(0x4c, true) > 0;
  const inodeSize = dynamic ? view.getUint16(0x58, true) : OLD_INODE_SIZE;
  const is64 = (features & incompat.bits64) !== 0;
  const descSize = is64 ? view.getUint16(0xfe, true) : 32;
  const blockSize = 1024 * 2 ** Math.min(logBlockSize, 32);
  const isSound =
    logBlockSize <= 6 &&
    inodesPerGroup > 0 &&
    blocksPerGroup > 0 &&
    inodeSize >= OLD_INODE_SIZE &&
    inodeSize <= blockSize &&
    descSize >= 32 &&
    descSize <= blockSize;
  if (!isSound) throw new BootFailure('an ext4 whose superblock is damaged');
  return {
    blockSize,
    blocks: (is64 ? view.getUint32(0x150, true) * 2 ** 32 : 0) + view.getUint32(4, true),
    inodes: view.getUint32(0, true),
    inodesPerGroup,
    blocksPerGroup,
    inodeSize,
    firstDataBlock: view.getUint32(0x14, true),
    descSize,
    firstMetaBg: (features & incompat.metaBg) !== 0 ? view.getUint32(0x104, true) : undefined,
    hasSuper: superblockCopies(view),
  };
}

/** Which groups begin with a copy of the superblock. */
function superblockCopies(view: DataView): (group: number) => boolean {
  if ((view.getUint32(0x5c, true) & COMPAT_SPARSE_SUPER2) !== 0) {
    const backups = [0, view.getUint32(0x24c, true), view.getUint32(0x250, true)];
    return (group) => backups.includes(group);
  }
  if ((view.getUint32(0x64, true) & RO_COMPAT_SPARSE_SUPER) === 0) return () => true;
  return (group) => group <= 1 || [3, 5, 7].some((base) => isPower(group, base));
}

function isPower(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

/** struct ext4_dir_entry_2: inode, record length, name length, type, name. */
function* entriesIn(bytes: Uint8Array): Generator<DirectoryEntry, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at + 8 <= bytes.length) {
    const inode = view.getUint32(at, true);
    const stored = view.getUint16(at + 4, true);
    // In blocks of 64 KiB a whole block's length does not fit.
    const length = stored === 0xffff || stored === 0 ? bytes.length - at : stored;
    const nameLength = view.getUint8(at + 6);
    if (length < 8 || at + length > bytes.length || nameLength + 8 > length) return;
    if (inode !== 0 && nameLength > 0) yield { inode, name: nameOf(bytes.subarray(at + 8, at + 8 + nameLength)) };
    at += length;
  }
}
