/** Copies all of a disk to another that has just been made, leaving out what is zero. */
import { DiskError } from './disk-error.ts';
import { type Disk } from './disk.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import { isZero } from './segments.ts';
import { SideBySide } from './turns.ts';

const PIECE = 2 ** 20;
/** Pieces that are under way at the same time. */
const AT_ONCE = 4;
/** Compressed clusters are packed that many at a time, for as many threads. */
const PACKED_AT_ONCE = 8;

export interface CopyOptions {
  /** Packs every cluster; the target is qcow2. */
  readonly compress?: boolean;
  /** The target reads as zeroes where nothing is written: false for a block device. */
  readonly targetIsZero: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export async function copyDisk(source: Disk, target: Disk, options: CopyOptions): Promise<void> {
  if (target.size < source.size) throw new DiskError('EINVAL', 'the target is smaller than the source');
  if (options.compress === true) {
    if (!(target instanceof Qcow2Disk)) throw new DiskError('EINVAL', 'only qcow2 can be compressed');
    await copyPacked(source, target, options);
  } else {
    await copyPieces(source, target, options);
  }
  await target.flush();
}

async function copyPieces(source: Disk, target: Disk, options: CopyOptions): Promise<void> {
  let done = 0;
  const copy = async (at: number, buffer: Uint8Array): Promise<void> => {
    const bytes = buffer.subarray(0, Math.min(PIECE, source.size - at));
    if (!(await isKnownZero(source, at, bytes.length))) {
      await source.read(at, [bytes]);
      await writeUnlessZero(target, at, bytes, options.targetIsZero);
    } else if (!options.targetIsZero) {
      await target.writeZeroes(at, bytes.length);
    }
    done += bytes.length;
    options.onProgress?.(done, source.size);
  };
  await sideBySide(source.size, PIECE, AT_ONCE, copy);
}

/** Zeroes in between are left out as well, in whole pages: a sparse file stays sparse. */
async function writeUnlessZero(target: Disk, offset: number, bytes: Uint8Array, targetIsZero: boolean): Promise<void> {
  const unit = target.format === 'qcow2' ? Math.max(4096, target.discardGranularity) : 4096;
  for (let at = 0; at < bytes.length;) {
    const zero = targetIsZero && isZero(bytes.subarray(at, at + unit));
    let end = Math.min(bytes.length, at + unit);
    while (end < bytes.length && (targetIsZero && isZero(bytes.subarray(end, end + unit))) === zero) {
      end = Math.min(bytes.length, end + unit);
    }
    if (!zero) await target.write(offset + at, [bytes.subarray(at, end)]);
    at = end;
  }
}

async function copyPacked(source: Disk, target: Qcow2Disk, options: CopyOptions): Promise<void> {
  const { clusterSize, header } = target.image;
  const pack = header.compressionType === 'zstd' ? target.codecs.zstdCompress : target.codecs.deflateRaw;
  let done = 0;
  await sideBySide(source.size, clusterSize, PACKED_AT_ONCE, async (at) => {
    const length = Math.min(clusterSize, source.size - at);
    if (!(await isKnownZero(source, at, length))) {
      // The last cluster may reach beyond the disk; it is packed whole.
      const cluster = new Uint8Array(clusterSize);
      await source.read(at, [cluster.subarray(0, length)]);
      if (!isZero(cluster)) {
        const packed = await pack(cluster);
        if (packed.length < clusterSize) await target.writeCompressed(at, packed);
        else await target.write(at, [cluster.subarray(0, length)]);
      }
    }
    done += length;
    options.onProgress?.(done, source.size);
  });
}

/** Runs the pieces of `size` in order, several at a time, each with a buffer of its own. */
async function sideBySide(
  size: number,
  piece: number,
  atOnce: number,
  run: (at: number, buffer: Uint8Array) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const work = new SideBySide();
  const worker = async (): Promise<void> => {
    const buffer = new Uint8Array(piece);
    while (next < size && !failed) {
      const at = next;
      next += piece;
      try {
        await run(at, buffer);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  for (let index = 0; index < atOnce; index++) work.add(worker());
  await work.end();
}

async function isKnownZero(source: Disk, offset: number, length: number): Promise<boolean> {
  if (source.zeroesAt === undefined) return false;
  for (let at = 0; at < length;) {
    const run = await source.zeroesAt(offset + at, length - at);
    if (!run.isZero) return false;
    at += run.length;
  }
  return true;
}
