/** The guest's user space: one static busybox, from Debian's package. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { Apt, type Architecture } from './apt.ts';
import type { Cache } from './cache.ts';
import { debData } from './deb.ts';
import { GuestFilesError } from './guest-files-error.ts';
import type { OnProgress } from './progress.ts';
import { tarEntries, type TarHeader } from './tar.ts';

const PACKAGE = 'busybox-static';
const PATHS: readonly string[] = ['bin/busybox', 'usr/bin/busybox'];

/** Path of a static busybox for the architecture. */
export async function fetchBusybox(architecture: Architecture, cache: Cache, onProgress: OnProgress): Promise<string> {
  const { folder } = await cache.get(`busybox/v1/${architecture}`, async (draft) => {
    const apt = new Apt(cache, architecture, onProgress);
    const wanted = await apt.show(PACKAGE);
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(wanted, scratch)));
    const isBusybox = ({ name, type }: TarHeader): boolean => type === 'file' && PATHS.includes(name);
    let busybox: Uint8Array | undefined;
    try {
      busybox = tarEntries(debData(deb), isBusybox).next().value?.content;
    } catch (cause) {
      if (cause instanceof CorruptData) throw new GuestFilesError(`${PACKAGE}: ${cause.message}`, { cause });
      throw cause;
    }
    if (busybox === undefined) throw new GuestFilesError(`the package ${PACKAGE} has no busybox in it`);
    await writeFile(join(draft, 'busybox'), busybox);
    return { package: wanted.name, version: wanted.version };
  });
  return join(folder, 'busybox');
}
