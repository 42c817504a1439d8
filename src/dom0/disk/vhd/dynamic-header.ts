/** The header of dynamic and differencing VHDs ("Dynamic Disk Header Format"), and who the parent of the latter is. */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { SECTOR_SIZE } from '../disk.ts';
import { checksum, long, setLong, type VhdFooter } from './footer.ts';

export const DYNAMIC_HEADER_SIZE = 1024;
const COOKIE = 'cxsparse';
export const DEFAULT_BLOCK_SIZE = 2 * 2 ** 20;
const MAX_BLOCK_SIZE = 256 * 2 ** 20;
/** Bytes of a block allocation table in memory: 2040 GiB in blocks of 128 KiB. */
const MAX_TABLE_BYTES = 64 * 2 ** 20;
const LOCATORS = 8;
const MAX_NAME = 4096;

export interface DynamicHeader {
  readonly tableOffset: number;
  readonly entries: number;
  readonly blockSize: number;
  readonly parentUuid: Uint8Array;
  /** What the parent may be called, best first. */
  readonly parentNames: readonly string[];
}

export async function readDynamicHeader(file: DiskFile, footer: VhdFooter): Promise<DynamicHeader> {
  const wrong = (what: string): DiskError => new DiskError('EINVAL', `${file.path}: ${what}`);
  const fileSize = await file.size();
  if (!(footer.dataOffset + DYNAMIC_HEADER_SIZE <= fileSize))
    throw wrong('the dynamic header is at an impossible place');
  const bytes = new Uint8Array(DYNAMIC_HEADER_SIZE);
  await file.read(footer.dataOffset, [bytes]);
  const view = new DataView(bytes.buffer);
  if (new TextDecoder('latin1').decode(bytes.slice(0, 8)) !== COOKIE) throw wrong('there is no dynamic header');
  if (view.getUint32(36) !== checksum(bytes, 36)) throw wrong('the dynamic header is damaged (its checksum is wrong)');
  const blockSize = view.getUint32(32);
  if (blockSize < SECTOR_SIZE || blockSize > MAX_BLOCK_SIZE || !Number.isInteger(Math.log2(blockSize))) {
    throw wrong(`blocks of ${blockSize} bytes are not supported`);
  }
  const entries = view.getUint32(28);
  const tableOffset = long(view, 16);
  if (entries * 4 > MAX_TABLE_BYTES) throw wrong('the block allocation table is too large');
  if (!(tableOffset + entries * 4 <= fileSize))
    throw wrong('the block allocation table reaches beyond the end of the file');
  if (entries * blockSize < footer.size)
    throw wrong('the block allocation table is too small for the size of the disk');
  const parentNames = footer.type === 'differencing' ? await readParentNames(file, bytes) : [];
  return { tableOffset, entries, blockSize, parentUuid: bytes.slice(40, 56), parentNames };
}

export function serialiseDynamicHeader(tableOffset: number, entries: number, blockSize: number): Uint8Array {
  const bytes = new Uint8Array(DYNAMIC_HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(COOKIE), 0);
  setLong(view, 8, Infinity);
  setLong(view, 16, tableOffset);
  view.setUint32(24, 0x00010000);
  view.setUint32(28, entries);
  view.setUint32(32, blockSize);
  view.setUint32(36, checksum(bytes, 36));
  return bytes;
}

/** How a locator's platform code says that its data is written. */
const locatorTexts: Readonly<Record<string, (bytes: Uint8Array) => string>> = {
  W2ru: (bytes) => windowsPath(new TextDecoder('utf-16le').decode(bytes)),
  MacX: (bytes) => new TextDecoder().decode(bytes).replace(/^file:\/\/(localhost)?/, ''),
  W2ku: (bytes) => windowsPath(new TextDecoder('utf-16le').decode(bytes)),
};

async function readParentNames(file: DiskFile, bytes: Uint8Array): Promise<string[]> {
  const view = new DataView(bytes.buffer);
  const fileSize = await file.size();
  const found: string[] = [];
  for (const code of Object.keys(locatorTexts)) {
    for (let at = 576; at < 576 + LOCATORS * 24; at += 24) {
      if (new TextDecoder('latin1').decode(bytes.slice(at, at + 4)) !== code) continue;
      const length = view.getUint32(at + 8);
      const offset = long(view, at + 16);
      if (length > MAX_NAME || !(offset + length <= fileSize)) continue;
      const data = new Uint8Array(length);
      await file.read(offset, [data]);
      const name = locatorTexts[code]?.(data) ?? '';
      // A path of another machine leads nowhere; its last part may.
      found.push(/^[a-z]:/i.test(name) ? lastPart(name) : name);
    }
  }
  found.push(lastPart(windowsPath(new TextDecoder('utf-16be').decode(bytes.slice(64, 576)))));
  return [...new Set(found.map((name) => name.replace(/\0.*$/s, '')).filter((name) => name !== ''))];
}

function windowsPath(name: string): string {
  return name.replaceAll('\\', '/');
}

function lastPart(name: string): string {
  return name.replace(/\0.*$/s, '').split('/').at(-1) ?? '';
}
