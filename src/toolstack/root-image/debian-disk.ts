/** A person's own Debian: a disk that is built once, kept in the cache, and copied to where its owner's data stays. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { copyDisk } from '../../dom0/disk/copy-disk.ts';
import { openDisk, type DiskHost } from '../../dom0/disk/index.ts';
import { createQcow2 } from '../../dom0/disk/qcow2/create.ts';
import { agentProgram } from '../guest-files/agent.ts';
import { checksum, type Cache } from '../guest-files/cache.ts';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';
import type { OnProgress } from '../guest-files/progress.ts';
import { buildRootImage } from './build-root-image.ts';
import { basePackages, guestConfig } from './guest-config.ts';
import type { RootImageOptions } from './options.ts';
import { inside } from './scripts.ts';

/** Bumped when an image is made in another way that its inputs do not show. */
const LAYOUT = 'v1';
const IMAGE = 'image.qcow2';

/** XENOLITH_DATA, or where the XDG base directory specification puts what is to stay. */
export function dataFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { XENOLITH_DATA: own, XDG_DATA_HOME: xdg } = env;
  if (own) return own;
  return join(xdg !== undefined && xdg.startsWith('/') ? xdg : join(homedir(), '.local', 'share'), 'xenolith');
}

export interface DebianDiskOptions extends RootImageOptions {
  /** The disk. When it is there, it is left as it is. */
  readonly path: string;
  /** Replaces the disk that is there. */
  readonly fresh: boolean;
}

/** Makes sure that the disk is there, as qcow2. Throws GuestFilesError. */
export async function provideDebianDisk(
  options: DebianDiskOptions,
  host: DiskHost,
  cache: Cache,
  onProgress: OnProgress,
): Promise<void> {
  const { path, fresh } = options;
  if (!fresh && (await stat(path).catch(() => undefined)) !== undefined) return;
  const image = await cachedImage(options, host, cache, onProgress);
  onProgress({ step: `copying the disk to ${path}` });
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // Beside it, so that it appears whole or not at all.
    const draft = await mkdtemp(join(dirname(path), '.disk-'));
    try {
      await copyFile(image, join(draft, IMAGE), constants.COPYFILE_FICLONE);
      await rename(join(draft, IMAGE), path);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GuestFilesError(`cannot write ${path}: ${why}`, { hint: 'set XENOLITH_DATA to another folder', cause });
  }
}

/** Path of the image in the cache; nobody writes to it. */
export async function cachedImage(
  options: RootImageOptions,
  host: DiskHost,
  cache: Cache,
  onProgress: OnProgress,
): Promise<string> {
  const { sizeMiB, hostname, kernel, packages, sshKeys, rootPassword, partitionTable } = options;
  const wanted = { sizeMiB, hostname, kernel, packages, sshKeys, rootPassword, partitionTable };
  // All but what apt finds: an image is built anew when its making changes, not with every update of a package.
  const agent = await agentProgram(cache, onProgress);
  const making = [...guestConfig(options, '', [])].map(([name, { content }]) => `${name}\n${content}`).join('');
  const inputs = createHash('sha256')
    .update(JSON.stringify(wanted))
    .update(basePackages.join(' '))
    .update(making)
    .update(inside)
    .update(agent === undefined ? '' : await checksum(agent));
  const { folder } = await cache.get(`debian/${LAYOUT}/${inputs.digest('hex').slice(0, 32)}`, async (draft) => {
    const { packages: found } = await buildRootImage(draft, options, cache, onProgress);
    await pack(join(draft, 'image'), join(draft, IMAGE), host, onProgress);
    return { packages: found.join(', ') };
  });
  return join(folder, IMAGE);
}

/** Raw to qcow2; the raw image is removed. */
async function pack(raw: string, target: string, host: DiskHost, onProgress: OnProgress): Promise<void> {
  const source = await openDisk(host, raw, { format: 'raw', readOnly: true });
  try {
    const file = await host.create(target);
    try {
      await createQcow2(file, { size: source.size });
    } finally {
      await file.close();
    }
    const image = await openDisk(host, target, { format: 'qcow2', readOnly: false });
    try {
      const step = 'packing the disk';
      await copyDisk(source, image, {
        targetIsZero: true,
        onProgress: (done, total) => onProgress({ step, done, total }),
      });
    } finally {
      await image.close();
    }
  } finally {
    await source.close();
  }
  await rm(raw);
}
