/** Makes an image of any format. */
import { DiskError } from './disk-error.ts';
import { type DiskFile, type DiskHost } from './disk-file.ts';
import { type DiskFormat, SECTOR_SIZE } from './disk.ts';
import { createQcow2, type Preallocation, type Qcow2CreateOptions } from './qcow2/create.ts';
import { openQcow2 } from './qcow2/open.ts';
import { preallocate } from './qcow2/resize.ts';
import { zeroSegments } from './segments.ts';
import { createVhd, type VhdCreateOptions } from './vhd/create.ts';

/** Zeroes that one write of a full preallocation has. */
const ZEROES_AT_A_TIME = 2 ** 20;

export interface CreateDiskOptions {
  readonly format: DiskFormat;
  readonly size: number;
  readonly preallocation?: Preallocation;
  readonly qcow2?: Omit<Qcow2CreateOptions, 'size'>;
  readonly vhd: Omit<VhdCreateOptions, 'size'>;
  readonly overwrite?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export async function createDisk(host: DiskHost, path: string, options: CreateDiskOptions): Promise<void> {
  const { format, preallocation = 'off' } = options;
  if (preallocation === 'metadata' && format !== 'qcow2') {
    throw new DiskError('EINVAL', `${path}: only qcow2 has metadata to allocate in advance`);
  }
  if (preallocation !== 'off' && options.qcow2?.backingFile !== undefined) {
    throw new DiskError('EINVAL', `${path}: what is allocated in advance would hide the backing file`);
  }
  const file = await host.create(path, { overwrite: options.overwrite ?? false });
  try {
    await makers[format](file, options);
    if (format === 'qcow2' && preallocation !== 'off') return await preallocateQcow2(host, file, options);
    if (preallocation === 'full') await fill((at, zeroes) => file.write(at, zeroes), options);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  await file.close();
}

const makers: Readonly<Record<DiskFormat, (file: DiskFile, options: CreateDiskOptions) => Promise<void>>> = {
  raw: async (file, { size }) => {
    if (file.kind === 'file') await file.truncate(size);
    else if (size > (await file.size())) throw new DiskError('ENOSPC', `${file.path} is smaller than ${size} bytes`);
  },
  qcow2: (file, { size, qcow2 = {} }) => createQcow2(file, { ...qcow2, size }),
  vhd: async (file, { size, vhd, preallocation }) => {
    if (preallocation === 'full' && vhd.subformat !== 'fixed') {
      throw new DiskError('EINVAL', `${file.path}: only a fixed VHD is allocated in advance`);
    }
    await createVhd(file, { ...vhd, size });
  },
};

async function preallocateQcow2(host: DiskHost, file: DiskFile, options: CreateDiskOptions): Promise<void> {
  const { preallocation, onProgress } = options;
  const disk = await openQcow2(file, { codecs: host.codecs, openBacking: () => Promise.resolve(undefined) });
  try {
    if (file.kind === 'file') {
      await preallocate(disk, (done) => {
        if (preallocation === 'metadata') onProgress?.(done, disk.size);
      });
    } else if (preallocation === 'metadata') {
      throw new DiskError('EINVAL', `${file.path}: a block device is allocated by writing it all`, {
        hint: 'preallocation=full does',
      });
    }
    if (preallocation === 'full') await fill((at, zeroes) => disk.write(at, zeroes), { ...options, size: disk.size });
  } finally {
    await disk.close();
  }
}

async function fill(
  write: (at: number, zeroes: readonly Uint8Array[]) => Promise<void>,
  { size, onProgress }: CreateDiskOptions,
): Promise<void> {
  const whole = Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE;
  for (let at = 0; at < whole; at += ZEROES_AT_A_TIME) {
    const part = Math.min(ZEROES_AT_A_TIME, whole - at);
    await write(at, zeroSegments(part));
    onProgress?.(at + part, whole);
  }
}
