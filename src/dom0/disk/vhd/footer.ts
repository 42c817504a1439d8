/** The footer of a VHD, which ends the file and, but for fixed disks, begins it too (Microsoft, Virtual Hard Disk Image Format Specification 1.0). */
import { DiskError } from '../disk-error.ts';
import { SECTOR_SIZE } from '../disk.ts';

export const VHD_COOKIE = 'conectix';
export const FOOTER_SIZE = 512;
/** QEMU's and Hyper-V's bound: 2040 GiB. */
export const MAX_VHD_SIZE = 0xff000000 * SECTOR_SIZE;
export const NO_OFFSET = 0xffffffff;

const types = { fixed: 2, dynamic: 3, differencing: 4 } as const;
export type VhdType = keyof typeof types;

export interface VhdFooter {
  readonly type: VhdType;
  readonly size: number;
  /** Where the dynamic header lies. */
  readonly dataOffset: number;
  readonly uuid: Uint8Array;
  /** Seconds since the year 2000. */
  readonly timestamp: number;
}

/** Programs whose size is the footer's. Others, such as Virtual PC, mean the geometry, as QEMU has found out (block/vpc.c). */
const exactSizes: readonly string[] = ['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS', 'wa\0\0'];
/** Xen's own program for these images, which is among them. */
const CREATOR = 'tap\0';
const CREATED_ON = 'Wi2k';
const MAX_CYLINDERS = 65535;
const MAX_HEADS = 16;
const MAX_SECTORS_PER_TRACK = 255;

/** Undefined when these 512 bytes are no footer; refuses one that is damaged. */
export function parseFooter(bytes: Uint8Array, path: string): VhdFooter | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, length: number): string => new TextDecoder('latin1').decode(bytes.slice(at, at + length));
  if (bytes.length < FOOTER_SIZE || text(0, 8) !== VHD_COOKIE) return undefined;
  if (view.getUint32(64) !== checksum(bytes.subarray(0, FOOTER_SIZE), 64)) {
    throw new DiskError('EINVAL', `${path}: the footer is damaged (its checksum is wrong)`);
  }
  const type = (Object.keys(types) as VhdType[]).find((name) => types[name] === view.getUint32(60));
  if (type === undefined) throw new DiskError('EINVAL', `${path}: VHD type ${view.getUint32(60)} is not supported`);
  const sectors = view.getUint16(56) * view.getUint8(58) * view.getUint8(59);
  const isExact = exactSizes.includes(text(28, 4)) || sectors === MAX_CYLINDERS * MAX_HEADS * MAX_SECTORS_PER_TRACK;
  const size = isExact ? Math.floor(long(view, 48) / SECTOR_SIZE) * SECTOR_SIZE : sectors * SECTOR_SIZE;
  if (!(size <= MAX_VHD_SIZE)) throw new DiskError('EINVAL', `${path}: a VHD has at most 2040 GiB`);
  return { type, size, dataOffset: long(view, 16), uuid: bytes.slice(68, 84), timestamp: view.getUint32(24) };
}

export function serialiseFooter({ type, size, dataOffset, uuid, timestamp }: VhdFooter): Uint8Array {
  const bytes = new Uint8Array(FOOTER_SIZE);
  const view = new DataView(bytes.buffer);
  const text = new TextEncoder();
  bytes.set(text.encode(VHD_COOKIE), 0);
  view.setUint32(8, 2); // always set
  view.setUint32(12, 0x00010000);
  setLong(view, 16, dataOffset);
  view.setUint32(24, timestamp);
  bytes.set(text.encode(CREATOR), 28);
  view.setUint32(32, 0x00010003);
  bytes.set(text.encode(CREATED_ON), 36);
  setLong(view, 40, size);
  setLong(view, 48, size);
  const { cylinders, heads, sectorsPerTrack } = geometry(size / SECTOR_SIZE);
  view.setUint16(56, cylinders);
  view.setUint8(58, heads);
  view.setUint8(59, sectorsPerTrack);
  view.setUint32(60, types[type]);
  bytes.set(uuid, 68);
  view.setUint32(64, checksum(bytes, 64));
  return bytes;
}

/** The one's complement of the sum of all bytes but the checksum's own four. */
export function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  bytes.forEach((byte, index) => {
    if (index < at || index >= at + 4) sum += byte;
  });
  return ~sum >>> 0;
}

/** All ones stands for no offset, and is larger than any. */
export function long(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

export function setLong(view: DataView, at: number, value: number): void {
  const isNone = value === Infinity;
  view.setUint32(at, isNone ? NO_OFFSET : Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, isNone ? NO_OFFSET : value % 2 ** 32);
}

/** The specification's "CHS Calculation". */
function geometry(sectors: number): { cylinders: number; heads: number; sectorsPerTrack: number } {
  const total = Math.min(sectors, MAX_CYLINDERS * MAX_HEADS * MAX_SECTORS_PER_TRACK);
  if (total >= MAX_CYLINDERS * MAX_HEADS * 63) {
    return { cylinders: Math.floor(total / 255 / 16), heads: 16, sectorsPerTrack: 255 };
  }
  let sectorsPerTrack = 17;
  let tracks = Math.floor(total / sectorsPerTrack);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (tracks >= heads * 1024 || heads > 16) {
    sectorsPerTrack = 31;
    heads = 16;
    tracks = Math.floor(total / sectorsPerTrack);
  }
  if (tracks >= heads * 1024) {
    sectorsPerTrack = 63;
    heads = 16;
    tracks = Math.floor(total / sectorsPerTrack);
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectorsPerTrack };
}
