/**
 * A folder of things that take long to make. An entry is a folder with a manifest of checksums; it is made under another
 * name and moved into place at once, so that a reader sees a whole entry or none, whoever else is making the same one.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { GuestFilesError } from './guest-files-error.ts';

const MANIFEST = 'manifest.json';
const MANIFEST_VERSION = 1;
/** Followed by the number of the process that works there. */
const SCRATCH = '.making-';

interface Manifest {
  readonly version: number;
  /** Facts about the entry. */
  readonly facts: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256: string }>>;
}

export interface CacheEntry {
  readonly folder: string;
  readonly facts: Readonly<Record<string, string>>;
  /** One checksum over all files. */
  readonly digest: string;
}

/** XENOLITH_CACHE, or where the XDG base directory specification puts caches. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { XENOLITH_CACHE: own, XDG_CACHE_HOME: xdg } = env;
  if (own) return own;
  return join(xdg !== undefined && xdg.startsWith('/') ? xdg : join(homedir(), '.cache'), 'xenolith');
}

export class Cache {
  readonly folder: string;

  constructor(folder: string = cacheFolder()) {
    this.folder = folder;
  }

  /** The entry when it is there and undamaged. */
  async find(key: string): Promise<CacheEntry | undefined> {
    const folder = this.#path(key);
    let manifest: Manifest;
    try {
      manifest = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8')) as Manifest;
    } catch {
      return undefined;
    }
    if (manifest.version !== MANIFEST_VERSION || typeof manifest.files !== 'object') return undefined;
    for (const [name, { size, sha256 }] of Object.entries(manifest.files)) {
      try {
        const path = join(folder, name);
        if ((await stat(path)).size !== size || (await checksum(path)) !== sha256) return undefined;
      } catch {
        return undefined;
      }
    }
    return { folder, facts: manifest.facts, digest: digestOf(manifest) };
  }

  /** The entry, made by `make` when it is not there or damaged. `make` fills a folder and gives the facts. */
  async get(key: string, make: (folder: string) => Promise<Record<string, string>>): Promise<CacheEntry> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    await this.withScratch(async (draft) => {
      await writeManifest(draft, await make(draft));
      await this.#moveIntoPlace(draft, key);
    });
    const made = await this.find(key);
    if (made === undefined) throw new GuestFilesError(`${this.#path(key)} cannot be used after it was made`);
    return made;
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { recursive: true, force: true });
  }

  /** Runs `use` with a new empty folder, which is gone afterwards. */
  async withScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
    const folder = await this.#scratch();
    try {
      return await use(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** In the cache, so that it is on the same file system as the entries. */
  async #scratch(): Promise<string> {
    const folder = join(this.folder, `${SCRATCH}${process.pid}-${randomUUID()}`);
    try {
      await mkdir(folder, { recursive: true });
      await this.#sweep();
    } catch (cause) {
      const text = `cannot write to the cache folder ${this.folder}: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new GuestFilesError(text, { hint: 'set XENOLITH_CACHE to a folder that can be written', cause });
    }
    return folder;
  }

  /** Removes what processes left that were ended in the middle of their work. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const pid = name.startsWith(SCRATCH) ? Number.parseInt(name.slice(SCRATCH.length), 10) : NaN;
      if (pid > 0 && !isAlive(pid)) await rm(join(this.folder, name), { recursive: true, force: true });
    }
  }

  async #moveIntoPlace(draft: string, key: string): Promise<void> {
    const target = this.#path(key);
    await mkdir(join(target, '..'), { recursive: true });
    for (let attempt = 0; ; attempt++) {
      try {
        await rename(draft, target);
        return;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if ((code !== 'ENOTEMPTY' && code !== 'EEXIST') || attempt === 3) throw error;
      }
      // Somebody else's is as good as ours, unless it is the damaged one that we came to replace.
      if ((await this.find(key)) !== undefined) return;
      await this.withScratch((aside) => rename(target, join(aside, 'old')).catch(() => undefined));
    }
  }

  #path(key: string): string {
    if (!/^[\w.+~:-]+(\/[\w.+~:-]+)*$/.test(key) || key.split('/').some((part) => /^\.+$/.test(part))) {
      throw new Error(`not a cache key: ${key}`);
    }
    return join(this.folder, key);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive too.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export async function checksum(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

async function writeManifest(folder: string, facts: Record<string, string>): Promise<void> {
  const files: Record<string, { size: number; sha256: string }> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files[path.slice(folder.length + 1)] = { size: (await stat(path)).size, sha256: await checksum(path) };
  }
  const manifest: Manifest = { version: MANIFEST_VERSION, facts, files };
  await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

function digestOf({ files }: Manifest): string {
  const names = Object.keys(files).sort();
  const hash = createHash('sha256');
  for (const name of names) hash.update(`${name} ${files[name]?.sha256 ?? ''}\n`);
  return hash.digest('hex');
}
