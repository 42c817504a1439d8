/** The header of a qcow2 image and its extensions (docs/interop/qcow2.txt, "Header", "Header extensions"). */
import { DiskError } from '../disk-error.ts';

export const QCOW2_MAGIC = 0x514649fb;
export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
/** Bounds that QEMU has as well (block/qcow2.h): an image cannot make a reader allocate more. */
export const MAX_L1_BYTES = 32 * 2 ** 20;
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
export const MAX_SNAPSHOTS = 65536;
export const MAX_BACKING_NAME = 1023;

/** Where fields lie that are written on their own, together in one write so that a crash finds the old ones or the new ones. */
export const headerAt = { sizeToL1: 24, refcountTable: 48, snapshots: 60, incompatible: 72, autoclear: 88 } as const;
const V2_LENGTH = 72;
export const V3_LENGTH = 112;

/** Bits of `incompatibleFeatures`. */
export const Incompatible = { dirty: 1, corrupt: 2, externalData: 4, compressionType: 8, extendedL2: 16 } as const;
export const CompatibleLazyRefcounts = 1;

const extensionTypes = { end: 0, backingFormat: 0xe2792aca, featureNames: 0x6803f857 } as const;

export type CompressionType = 'zlib' | 'zstd';
const compressionTypes: readonly CompressionType[] = ['zlib', 'zstd'];

export interface Qcow2Header {
  version: 2 | 3;
  backingFile: string | undefined;
  backingFormat: string | undefined;
  clusterBits: number;
  size: number;
  l1Size: number;
  l1TableOffset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  incompatibleFeatures: number;
  compatibleFeatures: number;
  /** Whether a writer that does not know them must clear the autoclear bits, such as that of valid dirty bitmaps. */
  hasAutoclear: boolean;
  refcountOrder: number;
  compressionType: CompressionType;
}

/** `bytes` is the first cluster of the file, or as much of it as there is. */
export function parseHeader(bytes: Uint8Array, path: string): Qcow2Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wrong = (what: string, hint?: string): DiskError =>
    new DiskError('EINVAL', `${path}: ${what}`, hint === undefined ? {} : { hint });
  if (bytes.length < V2_LENGTH || view.getUint32(0) !== QCOW2_MAGIC) throw wrong('not a qcow2 image');
  const long = (at: number, what: string): number => {
    const value = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) throw wrong(`${what} is out of range`);
    return value;
  };
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw wrong(`qcow2 version ${version} is not supported`, 'versions 2 and 3 are');
  if (version === 3 && bytes.length < 104) throw wrong('the header is cut off');
  const headerLength = version === 3 ? view.getUint32(100) : V2_LENGTH;
  const clusterBits = view.getUint32(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw wrong(`clusters of 2^${clusterBits} bytes are not supported`, 'they have 512 bytes to 2 MiB');
  }
  const clusterSize = 2 ** clusterBits;
  if (headerLength < (version === 3 ? 104 : V2_LENGTH) || headerLength > Math.min(clusterSize, bytes.length)) {
    throw wrong(`a header of ${headerLength} bytes does not fit its cluster`);
  }
  const header: Qcow2Header = {
    version,
    backingFile: undefined,
    backingFormat: undefined,
    clusterBits,
    size: long(24, 'the size'),
    l1Size: view.getUint32(36),
    l1TableOffset: long(40, 'the L1 table'),
    refcountTableOffset: long(48, 'the refcount table'),
    refcountTableClusters: view.getUint32(56),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: long(64, 'the snapshot table'),
    incompatibleFeatures: 0,
    compatibleFeatures: 0,
    hasAutoclear: false,
    refcountOrder: 4,
    compressionType: 'zlib',
  };
  if (version === 3) {
    refuseFeatures(view.getUint32(72), view.getUint32(76), wrong);
    header.incompatibleFeatures = view.getUint32(76);
    header.compatibleFeatures = view.getUint32(84);
    header.hasAutoclear = view.getUint32(88) !== 0 || view.getUint32(92) !== 0;
    header.refcountOrder = view.getUint32(96);
    if (headerLength > 104 && bytes[104] !== 0) {
      const type = compressionTypes[bytes[104] ?? 0];
      if (type === undefined) throw wrong(`compression type ${bytes[104]} is not supported`, 'zlib and zstd are');
      header.compressionType = type;
    }
    if ((header.compressionType !== 'zlib') !== ((header.incompatibleFeatures & Incompatible.compressionType) !== 0)) {
      throw wrong('the compression type and its feature bit contradict each other');
    }
  }
  if (view.getUint32(32) !== 0) throw wrong('the image is encrypted, which is not supported');
  if (header.refcountOrder > 6) throw wrong(`reference counts of 2^${header.refcountOrder} bits are not supported`);
  checkTables(header, wrong);
  header.backingFormat = backingFormat(bytes.subarray(headerLength), view, headerLength, wrong);
  const backingAt = long(8, 'the name of the backing file');
  const backingLength = view.getUint32(16);
  if (backingAt !== 0) {
    if (backingLength > MAX_BACKING_NAME || backingAt + backingLength > Math.min(clusterSize, bytes.length)) {
      throw wrong('the name of the backing file does not fit the header');
    }
    header.backingFile = new TextDecoder().decode(bytes.slice(backingAt, backingAt + backingLength));
    if (header.backingFile.includes('\0')) throw wrong('the name of the backing file contains a zero byte');
    if (header.backingFile === '') header.backingFile = undefined;
  }
  return header;
}

type Wrong = (what: string, hint?: string) => DiskError;

function refuseFeatures(high: number, low: number, wrong: Wrong): void {
  if ((low & Incompatible.externalData) !== 0) throw wrong('images with an external data file are not supported');
  if ((low & Incompatible.extendedL2) !== 0) {
    throw wrong(
      'images with extended L2 entries (subclusters) are not supported',
      'qemu-img convert makes one without',
    );
  }
  const known = Incompatible.dirty | Incompatible.corrupt | Incompatible.compressionType;
  const unknown = (low & ~known) >>> 0;
  if (high === 0 && unknown === 0) return;
  const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) =>
    bit < 32 ? ((unknown >>> bit) & 1) !== 0 : ((high >>> (bit - 32)) & 1) !== 0,
  );
  throw wrong(`the image uses unknown incompatible features (bits ${bits.join(', ')})`);
}

function checkTables(header: Qcow2Header, wrong: Wrong): void {
  const clusterSize = 2 ** header.clusterBits;
  const table = (name: string, offset: number, bytes: number, limit: number): void => {
    if (bytes > limit) throw wrong(`the ${name} table of ${bytes} bytes is too large`);
    if (offset % clusterSize !== 0 || !Number.isSafeInteger(offset + bytes)) {
      throw wrong(`the ${name} table is at an impossible place`);
    }
  };
  table('L1', header.l1TableOffset, header.l1Size * 8, MAX_L1_BYTES);
  table('refcount', header.refcountTableOffset, header.refcountTableClusters * clusterSize, MAX_REFCOUNT_TABLE_BYTES);
  if (header.snapshotCount > MAX_SNAPSHOTS) throw wrong(`${header.snapshotCount} snapshots are too many`);
  table('snapshot', header.snapshotsOffset, 0, 0);
  if (header.refcountTableClusters === 0) throw wrong('there is no refcount table');
  const needed = Math.ceil(header.size / (clusterSize * (clusterSize / 8)));
  if (header.l1Size < needed) throw wrong('the L1 table is too small for the size of the disk');
  if (header.size > 0 && header.l1TableOffset === 0) throw wrong('there is no L1 table');
}

function backingFormat(bytes: Uint8Array, view: DataView, from: number, wrong: Wrong): string | undefined {
  let format: string | undefined;
  let at = 0;
  while (at + 8 <= bytes.length) {
    const type = view.getUint32(from + at);
    const length = view.getUint32(from + at + 4);
    if (type === extensionTypes.end) break;
    if (at + 8 + length > bytes.length) throw wrong('a header extension does not fit the header');
    if (type === extensionTypes.backingFormat) format = new TextDecoder().decode(bytes.slice(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return format;
}

const featureNames = [
  { kind: 0, bit: 0, name: 'dirty bit' },
  { kind: 0, bit: 1, name: 'corrupt bit' },
  { kind: 0, bit: 2, name: 'external data file' },
  { kind: 0, bit: 3, name: 'compression type' },
  { kind: 0, bit: 4, name: 'extended L2 entries' },
  { kind: 1, bit: 0, name: 'lazy refcounts' },
] as const;

/** The first cluster of an image with this header. Throws EINVAL when the name of the backing file does not fit. */
export function serialiseHeader(header: Qcow2Header, path: string): Uint8Array {
  const bytes = new Uint8Array(2 ** header.clusterBits);
  const view = new DataView(bytes.buffer);
  const long = (at: number, value: number): void => {
    view.setUint32(at, Math.floor(value / 2 ** 32));
    view.setUint32(at + 4, value % 2 ** 32);
  };
  view.setUint32(0, QCOW2_MAGIC);
  view.setUint32(4, header.version);
  view.setUint32(20, header.clusterBits);
  long(24, header.size);
  view.setUint32(36, header.l1Size);
  long(40, header.l1TableOffset);
  long(48, header.refcountTableOffset);
  view.setUint32(56, header.refcountTableClusters);
  view.setUint32(60, header.snapshotCount);
  long(64, header.snapshotsOffset);
  let at = V2_LENGTH;
  if (header.version === 3) {
    view.setUint32(76, header.incompatibleFeatures);
    view.setUint32(84, header.compatibleFeatures);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, V3_LENGTH);
    bytes[104] = compressionTypes.indexOf(header.compressionType);
    at = V3_LENGTH;
  }
  const fits = (length: number): void => {
    if (at + length > bytes.length) {
      throw new DiskError(
        'EINVAL',
        `${path}: the name of the backing file does not fit a cluster of ${bytes.length} bytes`,
      );
    }
  };
  const extension = (type: number, data: Uint8Array): void => {
    fits(16 + data.length);
    view.setUint32(at, type);
    view.setUint32(at + 4, data.length);
    bytes.set(data, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  };
  const text = new TextEncoder();
  if (header.backingFormat !== undefined) extension(extensionTypes.backingFormat, text.encode(header.backingFormat));
  // It only names bits for programs that do not know them; with the smallest clusters a backing file's name needs the room.
  if (header.version === 3 && bytes.length >= 1024) {
    const names = new Uint8Array(featureNames.length * 48);
    featureNames.forEach(({ kind, bit, name }, index) => names.set([kind, bit, ...text.encode(name)], index * 48));
    extension(extensionTypes.featureNames, names);
  }
  at += 8;
  if (header.backingFile !== undefined) {
    const name = text.encode(header.backingFile);
    if (name.length > MAX_BACKING_NAME)
      throw new DiskError('EINVAL', `${path}: the name of the backing file is too long`);
    fits(name.length);
    long(8, at);
    view.setUint32(16, name.length);
    bytes.set(name, at);
  }
  return bytes;
}
