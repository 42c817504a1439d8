/** Single files of Debian packages that are not installed, for peers that need them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Apt } from '../../src/toolstack/guest-files/apt.ts';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import { debData } from '../../src/toolstack/guest-files/deb.ts';
import { tarEntries } from '../../src/toolstack/guest-files/tar.ts';
import { XenError } from '../../src/toolstack/xen-error.ts';
import { noteSteps } from '../guest/note-steps.ts';
import type { Note } from './peer.ts';

/** A folder with the files of an amd64 package, at their paths. */
export async function packageFiles(name: string, paths: readonly string[], note: Note): Promise<string> {
  const cache = new Cache();
  const { folder } = await cache.get(`bench-packages/v1/${name}`, async (draft) => {
    const apt = new Apt(cache, 'amd64', noteSteps(note));
    const wanted = await apt.show(name);
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(wanted, scratch)));
    const missing = new Set(paths);
    for (const entry of tarEntries(debData(deb), ({ name: path, type }) => type === 'file' && missing.has(path))) {
      missing.delete(entry.name);
      await mkdir(dirname(join(draft, entry.name)), { recursive: true });
      await writeFile(join(draft, entry.name), entry.content);
    }
    if (missing.size > 0) throw new XenError(`the package ${name} has no ${[...missing].join(', ')} in it`);
    return { version: wanted.version };
  });
  return folder;
}
