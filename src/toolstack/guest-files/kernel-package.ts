/** Kernel packages of Debian: which one a name means, and the kernel and modules inside. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { Apt, type Package } from './apt.ts';
import type { Cache, CacheEntry } from './cache.ts';
import { debData } from './deb.ts';
import { GuestFilesError } from './guest-files-error.ts';
import { canonicalName, moduleNameOf, readModule, type KernelModule } from './kernel-module.ts';
import { breathe, type OnProgress } from './progress.ts';
import { tarEntries } from './tar.ts';

/** What a guest may want to load; those that a kernel has built in, or does not have, are left out. */
export const defaultModules = [
  'xen-blkfront',
  'xen-netfront',
  'xen-evtchn',
  'xen-privcmd',
  'xenfs',
  'xen-gntdev',
  'xen-gntalloc',
  'af_packet',
  'ext4',
  // ext4 asks for a checksum by name, which shows in no dependency.
  'crc32c_generic',
  'libcrc32c',
] as const;

export interface GuestKernel {
  /** Path of the bzImage. */
  readonly vmlinuz: string;
  /** As `uname -r` shows it. */
  readonly release: string;
  /** Module files, relative to /lib/modules/RELEASE, in the cache folder `modulesFolder`. */
  readonly modulesFolder: string;
  readonly modules: readonly string[];
  readonly digest: string;
}

/** Bumped when what is kept of a package changes. */
const LAYOUT = 'v1';
const META_HOPS = 3;
const KERNEL = /^boot\/vmlinuz-(.+)$/;
const MODULE = /^(?:usr\/)?lib\/modules\/[^/]+\/(kernel\/.+\.ko(?:\.(?:xz|zst|gz))?)$/;

/** Finds the kernel of a package, or of the one that a meta package stands for, in the cache or by apt. */
export async function fetchKernel(name: string, cache: Cache, onProgress: OnProgress): Promise<GuestKernel> {
  if (!/^[a-z0-9][a-z0-9.+-]*$/.test(name)) throw new GuestFilesError(`${name} is not the name of a package`);
  const alias = `names/${LAYOUT}/${name}`;
  const known = (await cache.find(alias))?.facts['key'];
  const cached = known === undefined ? undefined : await cache.find(known);
  if (cached !== undefined) return kernelOf(cached);

  const apt = new Apt(cache, 'amd64', onProgress);
  const wanted = await resolve(apt, name);
  const key = `kernels/${LAYOUT}/${wanted.name}_${wanted.version}`;
  const entry = await cache.get(key, async (draft) => {
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(wanted, scratch)));
    return unpackKernel(deb, draft, wanted, onProgress);
  });
  await cache.remove(alias);
  await cache.get(alias, () => Promise.resolve({ key }));
  return kernelOf(entry);
}

/** Follows a meta package to the package with the kernel. */
async function resolve(apt: Apt, name: string): Promise<Package> {
  let found = await apt.show(name);
  for (let hop = 0; hop < META_HOPS; hop++) {
    const next = /(?:^|, )(linux-image-[a-z0-9.+-]+)/.exec(found.depends)?.[1];
    if (next === undefined) return found;
    found = await apt.show(next);
  }
  return found;
}

async function unpackKernel(
  deb: Uint8Array,
  draft: string,
  source: Package,
  onProgress: OnProgress,
): Promise<Record<string, string>> {
  const modules = new Map<string, { path: string; module: KernelModule }>();
  const wanted = new Set<string>(defaultModules.map(canonicalName));
  // Dependencies are known only when a module has been read, and may lie further ahead; so a round may show that
  // another is needed. What was not found at all is built in, or not there.
  const given = { release: '', rounds: 0 };
  let missing = new Set(wanted);
  let kernel: Uint8Array | undefined;
  while (missing.size > 0 && given.rounds < 4) {
    const looking = missing;
    const report = (fraction: number): void =>
      onProgress({ step: `unpacking ${source.name}`, done: Math.round(fraction * deb.length), total: deb.length });
    const entries = tarEntries(debData(deb, report), ({ name, type }) => {
      if (type !== 'file') return false;
      if (KERNEL.test(name)) return kernel === undefined;
      return MODULE.test(name) && wanted.has(moduleNameOf(name) ?? '') && !modules.has(moduleNameOf(name) ?? '');
    });
    try {
      for (const { name, content } of entries) {
        await breathe();
        const release = KERNEL.exec(name)?.[1];
        if (release !== undefined) {
          kernel = content;
          given.release = release;
          continue;
        }
        const module = readModule(name, content);
        modules.set(module.name, { path: MODULE.exec(name)?.[1] ?? name, module });
        module.depends.forEach((dependency) => wanted.add(dependency));
        if (kernel !== undefined && [...wanted].every((one) => modules.has(one))) break;
      }
    } catch (cause) {
      if (cause instanceof CorruptData) throw new GuestFilesError(`${source.name}: ${cause.message}`, { cause });
      throw cause;
    }
    given.rounds++;
    missing = new Set([...wanted].filter((one) => !modules.has(one) && !looking.has(one)));
  }
  if (kernel === undefined) throw new GuestFilesError(`the package ${source.name} has no kernel in it`);

  await writeFile(join(draft, 'vmlinuz'), kernel);
  for (const { path, module } of modules.values()) {
    const target = join(draft, 'modules', path.replace(/\.(xz|zst|gz)$/, ''));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, module.bytes);
  }
  const paths = [...modules.values()].map(({ path }) => path.replace(/\.(xz|zst|gz)$/, '')).sort();
  return { package: source.name, version: source.version, release: given.release, modules: paths.join(' ') };
}

function kernelOf({ folder, facts, digest }: CacheEntry): GuestKernel {
  return {
    vmlinuz: join(folder, 'vmlinuz'),
    release: facts['release'] ?? '',
    modulesFolder: join(folder, 'modules'),
    modules: (facts['modules'] ?? '').split(' ').filter((path) => path !== ''),
    digest,
  };
}
