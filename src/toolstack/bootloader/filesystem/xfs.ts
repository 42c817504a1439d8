/**
 * XFS of versions 4 and 5, read only (xfs-documentation: "XFS Algorithms & Data Structures"; linux: fs/xfs/libxfs/xfs_format.h). What el7 and later
 * put /boot on. The log is not replayed and checksums are not verified; what is read is bounded instead.
 */
import { BootFailure } from '../boot-failure.ts';
import type { DiskBytes } from '../disk-bytes.ts';
import { kindOf, uuidText, type DirectoryEntry, type Format, type FsNode } from './file-system.ts';
import { gather, type Run } from './runs.ts';
import { blockEntries, shortEntries } from './xfs-directory.ts';
import { forkRuns, inode64 } from './xfs-extents.ts';

const MAGIC = 'XFSB';
const INODE_MAGIC = 0x494e;
const SUPER_SIZE = 512;
const incompat = {
  ftype: 0x1,
  sparseInodes: 0x2,
  metaUuid: 0x4,
  bigTime: 0x8,
  needsRepair: 0x10,
  bigExtentCounts: 0x20,
  exchange: 0x40,
  parent: 0x80,
} as const;
const understood = Object.values(incompat).reduce((all, bit) => all | bit, 0);
const FEATURES2_FTYPE = 0x200;
const formats = { local: 1, extents: 2, btree: 3 } as const;
const FLAG_REALTIME = 1;
/** Of the second word of flags: the number of extents lies elsewhere, and is longer. */
const FLAG2_BIG_EXTENT_COUNTS = 0x10;
/** The header of each block of a link's target, in version 5. */
const LINK_HEADER = 56;
/** Indexes of a directory begin at this byte of it, the blocks with entries lie before. */
const DIRECTORY_DATA_END = 2 ** 35;

export interface XfsGeometry {
  readonly version: 4 | 5;
  readonly blockSize: number;
  readonly agBlocks: number;
  readonly agBlockLog: number;
  readonly agCount: number;
  readonly inodeSize: number;
  readonly inodesPerBlockLog: number;
  readonly directoryBlocks: number;
  readonly hasFtype: boolean;
}

export interface XfsInode extends FsNode {
  readonly format: number;
  readonly extents: number;
  readonly fork: Uint8Array;
}

export class Xfs implements Format<XfsInode> {
  readonly type = 'xfs';
  readonly uuid: string;
  readonly #disk: DiskBytes;
  readonly #geometry: XfsGeometry;
  readonly #rootInode: number;

  private constructor(disk: DiskBytes, uuid: string, geometry: XfsGeometry, rootInode: number) {
    this.#disk = disk;
    this.uuid = uuid;
    this.#geometry = geometry;
    this.#rootInode = rootInode;
  }

  /** Undefined when it is no such file system. */
  static async open(disk: DiskBytes): Promise<Xfs | undefined> {
    if (disk.size < SUPER_SIZE) return undefined;
    const bytes = (await disk.read(0, SUPER_SIZE)).slice();
    if (String.fromCharCode(...bytes.subarray(0, MAGIC.length)) !== MAGIC) return undefined;
    const view = new DataView(bytes.buffer);
    return new Xfs(disk, uuidText(bytes.subarray(32, 48)), geometryOf(view), inode64(view, 56));
  }

  root(): Promise<XfsInode> {
    return this.#inode(this.#rootInode);
  }

  node({ inode }: DirectoryEntry): Promise<XfsInode> {
    return this.#inode(inode);
  }

  async content(node: XfsInode): Promise<Uint8Array> {
    const { format, fork, size, kind } = node;
    if (format === formats.local) {
      if (size > fork.length) throw new BootFailure('the file system is damaged: a file in an inode');
      return fork.subarray(0, size);
    }
    if (kind === 'symlink' && this.#geometry.version === 5) return this.#longLink(node);
    return gather(this.#disk, this.#geometry.blockSize, size, this.#runs(node));
  }

  async *entries(directory: XfsInode): AsyncGenerator<DirectoryEntry, void> {
    const { format, fork, size } = directory;
    const { hasFtype, blockSize, directoryBlocks, version } = this.#geometry;
    if (format === formats.local) return yield* shortEntries(fork, hasFtype);
    const length = blockSize * directoryBlocks;
    const end = Math.min(size, DIRECTORY_DATA_END) / blockSize;
    // A block of a directory may be put together from several of the file system.
    let gathered: Uint8Array | undefined;
    for await (const { to, from, count } of this.#runs(directory)) {
      for (let block = 0; block < count && to + block < end; block++) {
        const part = (to + block) % directoryBlocks;
        if (part === 0) gathered = new Uint8Array(length);
        if (gathered === undefined || from === undefined) continue;
        gathered.set(await this.#disk.read((from + block) * blockSize, blockSize), part * blockSize);
        if (part === directoryBlocks - 1) yield* blockEntries(gathered, version, hasFtype);
      }
    }
  }

  async #longLink(link: XfsInode): Promise<Uint8Array> {
    const { blockSize } = this.#geometry;
    const { size } = link;
    const blocks = Math.ceil(size / (blockSize - LINK_HEADER));
    const stored = await gather(this.#disk, blockSize, blocks * blockSize, this.#runs(link));
    const parts = Array.from({ length: blocks }, (_, block) =>
      stored.subarray(block * blockSize + LINK_HEADER, (block + 1) * blockSize),
    );
    return Buffer.concat(parts).subarray(0, size);
  }

  #runs({ format, fork, extents }: XfsInode): AsyncGenerator<Run, void> {
    if (format !== formats.extents && format !== formats.btree)
      throw new BootFailure('the file system is damaged: an inode of an unknown format');
    return forkRuns(fork, format === formats.btree ? undefined : extents, this.#geometry, (block) =>
      this.#disk.read(block * this.#geometry.blockSize, this.#geometry.blockSize),
    );
  }

  async #inode(number: number): Promise<XfsInode> {
    const { blockSize, inodeSize, inodesPerBlockLog, agBlockLog, agBlocks, agCount } = this.#geometry;
    const perBlock = 2 ** inodesPerBlockLog;
    const block = Math.floor(number / perBlock);
    const group = Math.floor(block / 2 ** agBlockLog);
    if (group >= agCount) throw new BootFailure(`the file system is damaged: there is no inode ${number}`);
    const at = (group * agBlocks + (block % 2 ** agBlockLog)) * blockSize + (number % perBlock) * inodeSize;
    const raw = (await this.#disk.read(at, inodeSize)).slice();
    const view = new DataView(raw.buffer);
    if (view.getUint16(0) !== INODE_MAGIC)
      throw new BootFailure(`the file system is damaged: there is no inode ${number}`);
    if ((view.getUint16(90) & FLAG_REALTIME) !== 0) throw new BootFailure('a file on a real-time device of XFS');
    const isLong = view.getUint8(4) >= 3;
    const hasBigCount = isLong && (view.getUint32(124) & FLAG2_BIG_EXTENT_COUNTS) !== 0;
    const start = isLong ? 176 : 100;
    const forkOffset = view.getUint8(82) * 8;
    const end = forkOffset === 0 ? inodeSize : Math.min(inodeSize, start + forkOffset);
    return {
      kind: kindOf(view.getUint16(2)),
      format: view.getUint8(5),
      size: inode64(view, 56),
      extents: hasBigCount ? inode64(view, 24) : view.getUint32(76),
      fork: raw.subarray(start, end),
    };
  }
}

function geometryOf(view: DataView): XfsGeometry {
  const versionField = view.getUint16(100);
  const version = versionField & 0xf;
  if (version !== 4 && version !== 5) throw new BootFailure(`an XFS of version ${version}`);
  const features = version === 5 ? view.getUint32(216) : 0;
  const unknown = features & ~understood;
  if (unknown !== 0) throw new BootFailure(`an XFS with features that are not known (${unknown.toString(16)})`);
  const [blockLog, inodeLog, inodesPerBlockLog, agBlockLog] = [120, 122, 123, 124].map((at) => view.getUint8(at));
  const directoryLog = view.getUint8(192);
  const blockSize = view.getUint32(4);
  const inodeSize = view.getUint16(104);
  const isSound =
    blockSize >= 512 &&
    blockSize <= 65536 &&
    blockSize === 2 ** (blockLog ?? 0) &&
    inodeSize >= 256 &&
    inodeSize === 2 ** (inodeLog ?? 0) &&
    inodeSize * 2 ** (inodesPerBlockLog ?? 0) === blockSize &&
    agBlockLog !== undefined &&
    agBlockLog <= 32 &&
    blockSize * 2 ** directoryLog <= 65536;
  if (!isSound) throw new BootFailure('an XFS whose superblock is damaged');
  return {
    version,
    blockSize,
    agBlocks: view.getUint32(84),
    agBlockLog,
    agCount: view.getUint32(88),
    inodeSize,
    inodesPerBlockLog: inodesPerBlockLog ?? 0,
    directoryBlocks: 2 ** directoryLog,
    hasFtype: version === 5 ? (features & incompat.ftype) !== 0 : (view.getUint32(200) & FEATURES2_FTYPE) !== 0,
  };
}
