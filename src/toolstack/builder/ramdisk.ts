/**
 * Looks whether a ramdisk is what Linux can unpack: any number of cpio archives, each plain or compressed, with zero bytes
 * between them (linux: Documentation/driver-api/early-userspace/buffer-format.rst), or the image of an old initrd.
 *
 * Departs from xl, which hands over whatever it is given: the guest would then stop with "VFS: Unable to mount root fs",
 * a long way from the cause.
 */
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { domainBuilder, hex, type BuildLog } from './build-log.ts';
import { CorruptData } from './compression/corrupt-data.ts';
import { compressionOf, MAX_PLAIN, unzstd } from './compression/decompress.ts';
import { gunzipMember } from './compression/gzip.ts';
import { checkLz4Legacy } from './compression/lz4-legacy.ts';
import { checkXzEnd } from './compression/xz.ts';

export interface Ramdisk {
  readonly bytes: Uint8Array;
  /** The content, when all of the ramdisk is one gzip member. */
  readonly unzipped?: Uint8Array;
}

/** The bytes that the guest gets; a guest that has room for it is spared the unzipping, as by libxc. */
export function ramdiskFor(ramdisk: Ramdisk | undefined, nrPages: number, log: BuildLog): Uint8Array {
  if (ramdisk === undefined) return new Uint8Array();
  const { bytes, unzipped } = ramdisk;
  // The guest holds the archive and the files in it at the same time for a while.
  if (unzipped === undefined || unzipped.length > (nrPages * PAGE_SIZE) / 4) return bytes;
  domainBuilder(log, `xc_dom_do_gunzip: unzip ok, ${hex(bytes.length)} -> ${hex(unzipped.length)}`);
  return unzipped;
}

/** Throws CorruptData for something that no Linux can use. */
export function inspectRamdisk(bytes: Uint8Array): Ramdisk {
  if (isFilesystemImage(bytes)) return { bytes };
  let unzipped: Uint8Array | undefined;
  let archives = 0;
  let at = skipZeros(bytes, 0);
  while (at < bytes.length) {
    const rest = bytes.subarray(at);
    if (isCpio(rest)) {
      at += cpioLength(rest);
    } else if (compressionOf(rest) === 'gzip') {
      const { plain, end } = gunzipMember(rest, MAX_PLAIN);
      if (!isCpio(plain)) throw new CorruptData('what is compressed in it is not a cpio archive');
      cpioLength(plain);
      if (archives === 0) unzipped = plain;
      at += end;
    } else if (compressionOf(rest) !== undefined) {
      checkCompressed(rest);
      at = bytes.length;
    } else if (archives > 0 && endsWithBootConfig(bytes)) {
      break;
    } else {
      throw new CorruptData(at === 0 ? 'neither a cpio archive nor compressed' : `not an archive at byte ${at}`);
    }
    archives++;
    at = skipZeros(bytes, at);
  }
  if (archives === 0) throw new CorruptData('it is empty');
  return unzipped !== undefined && archives === 1 ? { bytes, unzipped } : { bytes };
}

/** As much as can be told without unpacking for long. */
function checkCompressed(bytes: Uint8Array): void {
  switch (compressionOf(bytes)) {
    case 'zstd':
      unzstd(bytes, MAX_PLAIN);
      return;
    case 'xz':
      checkXzEnd(bytes);
      return;
    case 'lz4':
      checkLz4Legacy(bytes);
      return;
    case 'gzip':
    case 'bzip2':
    case 'lzma':
    case 'lzo':
    case undefined:
      return;
  }
}

const CPIO_HEADER = 110;
const CPIO_TRAILER = 'TRAILER!!!';

function isCpio(bytes: Uint8Array): boolean {
  const magic = text(bytes, 0, 6);
  return magic === '070701' || magic === '070702';
}

/** Walks the headers of a "newc" archive; gives its length up to the end of the trailer. */
function cpioLength(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    if (at + CPIO_HEADER > bytes.length) throw new CorruptData('the cpio archive ends early');
    if (!isCpio(bytes.subarray(at))) throw new CorruptData(`damaged cpio header at byte ${at}`);
    const fileSize = hexField(bytes, at + 54);
    const nameSize = hexField(bytes, at + 94);
    const nameAt = at + CPIO_HEADER;
    const dataAt = align4(nameAt + nameSize);
    const end = dataAt + fileSize;
    if (end > bytes.length) throw new CorruptData('the cpio archive ends early');
    if (text(bytes, nameAt, CPIO_TRAILER.length) === CPIO_TRAILER) return Math.min(bytes.length, align4(end));
    at = align4(end);
  }
  return bytes.length;
}

function hexField(bytes: Uint8Array, at: number): number {
  const digits = text(bytes, at, 8);
  if (!/^[0-9a-fA-F]{8}$/.test(digits)) throw new CorruptData(`damaged cpio header at byte ${at}`);
  return Number.parseInt(digits, 16);
}

/** The images that Linux looks for in linux: init/do_mounts_rd.c, by offset and magic. */
const imageMagics = [
  { at: 0x438, magic: [0x53, 0xef] }, // ext2
  { at: 0x410, magic: [0x7f, 0x13] }, // minix
  { at: 0x410, magic: [0x8f, 0x13] },
  { at: 0, magic: [0x2d, 0x72, 0x6f, 0x6d, 0x31, 0x66, 0x73, 0x2d] }, // romfs
  { at: 0, magic: [0x45, 0x3d, 0xcd, 0x28] }, // cramfs
  { at: 0, magic: [0x68, 0x73, 0x71, 0x73] }, // squashfs
] as const;

function isFilesystemImage(bytes: Uint8Array): boolean {
  if (isCpio(bytes) || compressionOf(bytes) !== undefined) return false;
  return imageMagics.some(({ at, magic }) => magic.every((byte, i) => bytes[at + i] === byte));
}

/** Boot configuration may be appended to a ramdisk (linux: Documentation/admin-guide/bootconfig.rst). */
function endsWithBootConfig(bytes: Uint8Array): boolean {
  const magic = '#BOOTCONFIG\n';
  return text(bytes, bytes.length - magic.length, magic.length) === magic;
}

function skipZeros(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] === 0) at++;
  return at;
}

function align4(value: number): number {
  return Math.ceil(value / 4) * 4;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(Math.max(0, at), Math.max(0, at + length)));
}
