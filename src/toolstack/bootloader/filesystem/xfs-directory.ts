/** Entries of XFS directories: short ones in the inode, longer ones in blocks (fs/xfs/libxfs/xfs_da_format.h). */
import { nameOf, type DirectoryEntry } from './file-system.ts';
import { inode64 } from './xfs-extents.ts';

/** xfs_dir2_sf_hdr: numbers of entries, of those with long inode numbers, the parent; then the entries. */
export function* shortEntries(fork: Uint8Array, hasFtype: boolean): Generator<DirectoryEntry, void> {
  if (fork.length < 6) return;
  const view = new DataView(fork.buffer, fork.byteOffset, fork.length);
  const isLong = view.getUint8(1) > 0;
  const inodeSize = isLong ? 8 : 4;
  let at = 2 + inodeSize;
  for (let left = view.getUint8(0); left > 0; left--) {
    if (at >= fork.length) return;
    const name = at + 3;
    const nameLength = view.getUint8(at);
    const inodeAt = name + nameLength + (hasFtype ? 1 : 0);
    if (inodeAt + inodeSize > fork.length) return;
    const inode = isLong ? inode64(view, inodeAt) : view.getUint32(inodeAt);
    yield { inode, name: nameOf(fork.subarray(name, name + nameLength)) };
    at = inodeAt + inodeSize;
  }
}

const dataMagics: readonly string[] = ['XD2D', 'XDD3'];
/** A directory of one block ends with its index. */
const blockMagics: readonly string[] = ['XD2B', 'XDB3'];
const headerSizes = { 4: 16, 5: 64 } as const;
const TAIL = 8;
const LEAF_ENTRY = 8;
const FREE_TAG = 0xffff;

export function* blockEntries(block: Uint8Array, version: 4 | 5, hasFtype: boolean): Generator<DirectoryEntry, void> {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const magic = String.fromCharCode(...block.subarray(0, 4));
  let end = block.length;
  if (blockMagics.includes(magic)) end -= TAIL + view.getUint32(block.length - TAIL) * LEAF_ENTRY;
  else if (!dataMagics.includes(magic)) return;
  let at: number = headerSizes[version];
  while (at + 16 <= end) {
    if (view.getUint16(at) === FREE_TAG) {
      const length = view.getUint16(at + 2);
      if (length < 8) return;
      at += length;
      continue;
    }
    const nameLength = view.getUint8(at + 8);
    const length = Math.ceil((8 + 1 + nameLength + (hasFtype ? 1 : 0) + 2) / 8) * 8;
    if (nameLength === 0 || at + length > end) return;
    yield { inode: inode64(view, at), name: nameOf(block.subarray(at + 9, at + 9 + nameLength)) };
    at += length;
  }
}
