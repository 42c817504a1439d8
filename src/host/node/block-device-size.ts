/**
 * The size of a block device. Node has no ioctl, and `stat` says 0; but a read at the end of a device gives nothing, and one before it
 * gives something, so the end is where the two meet.
 */
import { readSync } from 'node:fs';
import { DiskError } from '../../dom0/disk/index.ts';

const SECTOR = 512;

export function blockDeviceSize(fd: number, path: string): number {
  const byte = new Uint8Array(1);
  const isInside = (sector: number): boolean => {
    try {
      return readSync(fd, byte, 0, 1, sector * SECTOR) > 0;
    } catch (error) {
      throw new DiskError('EIO', `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  if (!isInside(0)) return 0;
  let inside = 0;
  let outside = 2 ** 21;
  while (isInside(outside)) {
    inside = outside;
    outside *= 2;
    if (outside * SECTOR > Number.MAX_SAFE_INTEGER) throw new DiskError('EIO', `${path} has no end`);
  }
  while (outside - inside > 1) {
    const middle = Math.floor((inside + outside) / 2);
    if (isInside(middle)) inside = middle;
    else outside = middle;
  }
  return outside * SECTOR;
}
