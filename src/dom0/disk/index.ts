export { type Disk, type DiskFormat, diskFormats, SECTOR_SIZE, type Segments, totalLength } from './disk.ts';
export { DiskError, type DiskErrorCode } from './disk-error.ts';
export type { Codecs, DiskFile, DiskHost, OpenFileOptions } from './disk-file.ts';
export { openDisk, type OpenDiskOptions } from './open-disk.ts';
export { DiskImages } from './layers/disk-images.ts';
export type { DiskSnapshot } from './layers/disk-snapshot.ts';
