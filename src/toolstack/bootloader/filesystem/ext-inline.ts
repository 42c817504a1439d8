/**
 * Short files of ext4 that lie in their inode (feature inline_data): 60 bytes where the block map would be, and the rest in the extended attribute
 * system.data behind the inode's own fields (linux: Documentation/filesystems/ext4/attributes.rst, inlinedata.rst).
 */
import { BootFailure } from '../boot-failure.ts';
import type { ExtInode } from './ext.ts';

const BASE = 128;
const ATTRIBUTES_MAGIC = 0xea020000;
const ENTRY = 16;
const INDEX_SYSTEM = 7;
const NAME = 'data';

export function inlineData({ size, block, raw }: ExtInode): Uint8Array {
  // A directory's size counts what is there, a file's what it holds.
  if (size <= block.length) return block.subarray(0, size);
  const rest = systemData(raw);
  if (block.length + rest.length < size) throw new BootFailure('the file system is damaged: a file in an inode');
  const content = new Uint8Array(size);
  content.set(block);
  content.set(rest.subarray(0, size - block.length), block.length);
  return content;
}

function systemData(raw: Uint8Array): Uint8Array {
  const none = new Uint8Array();
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  if (raw.length < BASE + 4) return none;
  const header = BASE + view.getUint16(BASE, true);
  if (header + 4 > raw.length || view.getUint32(header, true) !== ATTRIBUTES_MAGIC) return none;
  const first = header + 4;
  for (let at = first; at + ENTRY <= raw.length && view.getUint32(at, true) !== 0;) {
    const nameLength = view.getUint8(at);
    const name = String.fromCharCode(...raw.subarray(at + ENTRY, at + ENTRY + nameLength));
    if (view.getUint8(at + 1) === INDEX_SYSTEM && name === NAME) {
      const start = first + view.getUint16(at + 2, true);
      const length = view.getUint32(at + 8, true);
      return start + length <= raw.length ? raw.subarray(start, start + length) : none;
    }
    at += ENTRY + Math.ceil(nameLength / 4) * 4;
  }
  return none;
}
