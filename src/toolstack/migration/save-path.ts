/** A saved domain's file has another name until it is complete: a domain may still read an older one of its name. */
import { realpathSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The path without symbolic links, when another file can take its place; undefined of a device or a pipe. */
export function replaceable(path: string): string | undefined {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there === undefined) return path;
  return there.isFile() ? realpathSync(path) : undefined;
}

/** What the file is called until then. */
export function partOf(path: string): string {
  return `${path}.${process.pid}.part`;
}

/** For good: the directory is on disk, too. */
export async function becomes(path: string, name: string): Promise<void> {
  await rename(path, name);
  const directory = await open(dirname(name), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
