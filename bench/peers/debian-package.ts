/** Files of Debian packages that are not installed, for peers that need them. */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Apt } from '../../src/toolstack/guest-files/apt.ts';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import type { CpioEntry } from '../../src/toolstack/guest-files/cpio.ts';
import { debData } from '../../src/toolstack/guest-files/deb.ts';
import { tarEntries, type TarHeader } from '../../src/toolstack/guest-files/tar.ts';
import { XenError } from '../../src/toolstack/xen-error.ts';
import { noteSteps } from '../guest/note-steps.ts';
import type { Note } from './peer.ts';

export interface PackageFiles {
  readonly package: string;
  /** Of the paths in the package, those that are wanted: files and links. */
  readonly wanted: RegExp;
}

/** A folder with the wanted files of an amd64 package, at their paths. */
export async function packageFolder({ package: name, wanted }: PackageFiles, note: Note): Promise<string> {
  const cache = new Cache();
  const which = createHash('sha256').update(wanted.source).digest('hex').slice(0, 16);
  const { folder } = await cache.get(`bench-packages/v2/${name}/${which}`, async (draft) => {
    const apt = new Apt(cache, 'amd64', noteSteps(note));
    const known = await apt.show(name);
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(known, scratch)));
    const isWanted = ({ name: path, type }: TarHeader): boolean =>
      (type === 'file' || type === 'symlink') && wanted.test(path);
    let found = 0;
    for (const entry of tarEntries(debData(deb), isWanted)) {
      const target = join(draft, entry.name);
      await mkdir(dirname(target), { recursive: true });
      if (entry.type === 'symlink') await symlink(entry.linkName, target);
      else await writeFile(target, entry.content);
      found++;
    }
    if (found === 0) throw new XenError(`the package ${name} has nothing like ${wanted.source} in it`);
    return { version: known.version };
  });
  return folder;
}

/** The same for a ramdisk; all files can be executed. */
export async function packageEntries(files: PackageFiles, note: Note): Promise<readonly CpioEntry[]> {
  const folder = await packageFolder(files, note);
  const entries: CpioEntry[] = [];
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const full = join(folder, name);
    const path = relative(folder, full);
    if (!files.wanted.test(path)) continue;
    const facts = await lstat(full);
    if (facts.isSymbolicLink()) entries.push({ path, kind: { type: 'link', target: await readlink(full) } });
    else if (facts.isFile())
      entries.push({ path, kind: { type: 'file', content: await readFile(full), executable: true } });
  }
  return entries;
}
