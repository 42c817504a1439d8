/** Opens an image. The format is told, never guessed: a guest that writes a qcow2 header into its raw disk must not get to read other files. */
import { type Disk, type DiskFormat } from './disk.ts';
import { type DiskHost, type OpenFileOptions } from './disk-file.ts';
import { RawDisk } from './raw-disk.ts';

export interface OpenDiskOptions extends OpenFileOptions {
  readonly format: DiskFormat;
}

export async function openDisk(host: DiskHost, path: string, options: OpenDiskOptions): Promise<Disk> {
  const file = await host.open(path, options);
  try {
    return await formats[options.format](file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

const formats: Readonly<Record<DiskFormat, (file: Awaited<ReturnType<DiskHost['open']>>) => Promise<Disk>>> = {
  raw: (file) => RawDisk.open(file),
  qcow2: () => Promise.reject(new Error('qcow2')),
  vhd: () => Promise.reject(new Error('vhd')),
};
