/** Finds out which file system a partition holds. */
import type { DiskBytes } from '../disk-bytes.ts';
import { Ext } from './ext.ts';
import { PathReader, type FileSystem } from './file-system.ts';
import { Xfs } from './xfs.ts';

/** Undefined when it is none that can be read. Throws BootFailure when it is damaged. */
export async function openFileSystem(disk: DiskBytes): Promise<FileSystem | undefined> {
  const ext = await Ext.open(disk);
  if (ext !== undefined) return new PathReader(ext);
  const xfs = await Xfs.open(disk);
  return xfs === undefined ? undefined : new PathReader(xfs);
}
