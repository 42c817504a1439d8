/**
 * The disks of clones: where the original has a disk that it can write to, a clone has an overlay of a snapshot of it, under the same name (`vdev`). Disks that are only
 * read are shared. An overlay is a disk of the format raw whose file is in the run directory; it lasts as long as the domain, and its successors after reboots.
 */
import { type DiskFormat, diskFormats, DiskError, type DiskImages, type DiskSnapshot } from '../../dom0/disk/index.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError } from '../domain/libxl-error.ts';

/** The disks of a domain as they were at a moment, to make clones' disks from. */
export interface DisksSnapshot {
  /** Disks for the configuration of a clone, each time others; they go with the domain that is created with them, or that could not be. Throws LibxlError. */
  clone(): Promise<JsonObject[]>;
  /** Clones that there are keep what they need. */
  close(): Promise<void>;
}

/**
 * While nobody runs who writes to them: the guest is suspended, or the domain is gone. Of a domain that goes on, before its backends let go of the disks, so that the
 * images stay open; what the guest has not been told of by then it asks for again when it goes on, in the clone too. Throws LibxlError.
 */
export async function snapshotDisks(
  images: DiskImages | undefined,
  disks: readonly JsonObject[],
): Promise<DisksSnapshot> {
  const snapshots = new Map<JsonObject, DiskSnapshot>();
  const close = async (): Promise<void> => {
    const all = [...snapshots.values()];
    snapshots.clear();
    await Promise.all(all.map((snapshot) => snapshot.close()));
  };
  try {
    for (const disk of disks) {
      if (!isWritable(disk)) continue;
      if (images === undefined) throw failed('there are no disks here');
      snapshots.set(disk, await refused(images.snapshot(pathOf(disk), formatOf(disk))));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    clone: async () => {
      const cloned: JsonObject[] = [];
      try {
        for (const disk of disks) {
          const snapshot = snapshots.get(disk);
          if (snapshot === undefined || images === undefined) cloned.push({ ...disk });
          else cloned.push(overlayOf(disk, await refused(images.createOverlay(nameOf(disk), snapshot))));
        }
      } catch (error) {
        await removeOverlays(images, cloned, []);
        throw error;
      }
      return cloned;
    },
    close,
  };
}

/** Those of the disks that are overlays, and not among the others. */
export async function removeOverlays(
  images: DiskImages | undefined,
  disks: readonly JsonObject[],
  others: readonly JsonObject[],
): Promise<void> {
  const kept = new Set(others.map(pathOf));
  for (const path of disks.map(pathOf)) if (!kept.has(path)) await images?.removeOverlay(path);
}

/** Why a domain with these disks cannot be written down, or moved to another host; undefined: it can. */
export function boundDisk(
  images: DiskImages | undefined,
  disks: readonly JsonObject[],
  to: 'be saved' | 'move',
): string | undefined {
  for (const disk of disks) {
    const { isOverlay, hasSnapshots } = images?.ties(pathOf(disk)) ?? { isOverlay: false, hasSnapshots: false };
    if (isOverlay)
      return `its disk ${nameOf(disk)} is a clone's and lasts only as long as the domain, so it cannot ${to}`;
    if (hasSnapshots && to === 'move') return `its disk ${nameOf(disk)} is what clones read, so it cannot move`;
  }
  return undefined;
}

/** In a Xen host QEMU (qdisk) serves disks that are more than a file's bytes. */
function overlayOf({ script: _, ...disk }: JsonObject, path: string): JsonObject {
  return { ...disk, pdev_path: path, format: 'raw', backend: 'qdisk' };
}

function isWritable(disk: JsonObject): boolean {
  return disk['readwrite'] === 1 && disk['is_cdrom'] !== 1 && pathOf(disk) !== '';
}

function pathOf(disk: JsonObject): string {
  const path = disk['pdev_path'];
  return typeof path === 'string' ? path : '';
}

function nameOf(disk: JsonObject): string {
  const name = disk['vdev'];
  return typeof name === 'string' && /^\w{1,32}$/.test(name) ? name : 'disk';
}

function formatOf(disk: JsonObject): DiskFormat {
  const wanted = disk['format'] ?? 'raw';
  const known = diskFormats.find((format) => format === wanted);
  if (known === undefined) throw failed(`there are no snapshots of ${String(wanted)} disks`);
  return known;
}

async function refused<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DiskError) throw failed(error.message, error);
    throw error;
  }
}

function failed(why: string, cause?: unknown): LibxlError {
  return new LibxlError('FAIL', [`libxl: error: ${why}`], why, cause);
}
