/** Kernel packages of Debian: which one a name means, and the kernel and modules inside. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { Apt, type Architecture, type Package } from './apt.ts';
import type { Cache, CacheEntry } from './cache.ts';
import { debData } from './deb.ts';
import { GuestFilesError } from './guest-files-error.ts';
import { canonicalName, moduleNameOf, readModule } from './kernel-module.ts';
import { breathe, type OnProgress } from './progress.ts';
import { tarEntries, type TarHeader } from './tar.ts';

/**
 * What a guest may want to load; those that a kernel has built in, or does not have, are left out. For kernels of amd64: those of i386 run in other
 * emulators, for comparison, and need no drivers of Xen's.
 */
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
  readonly architecture: Architecture;
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
const PACKED = /\.(xz|zst|gz)$/;
const MODULE = /^(?:usr\/)?lib\/modules\/[^/]+\/(kernel\/.+\.ko(?:\.(?:xz|zst|gz))?)$/;

/** Finds the kernel of a package, or of the one that a meta package stands for, in the cache or by apt. */
export async function fetchKernel(
  name: string,
  cache: Cache,
  onProgress: OnProgress,
  architecture: Architecture = 'amd64',
): Promise<GuestKernel> {
  if (!/^[a-z0-9][a-z0-9.+-]*$/.test(name)) throw new GuestFilesError(`${name} is not the name of a package`);
  const ofArchitecture = architecture === 'amd64' ? '' : `${architecture}/`;
  const alias = `names/${LAYOUT}/${ofArchitecture}${name}`;
  const known = (await cache.find(alias))?.facts['key'];
  const cached = known === undefined ? undefined : await cache.find(known);
  if (cached !== undefined) return kernelOf(cached, architecture);

  const apt = new Apt(cache, architecture, onProgress);
  const wanted = await resolve(apt, name);
  const key = `kernels/${LAYOUT}/${ofArchitecture}${wanted.name}_${wanted.version}`;
  const entry = await cache.get(key, async (draft) => {
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(wanted, scratch)));
    return unpackKernel(deb, draft, wanted, architecture === 'amd64' ? defaultModules : [], onProgress);
  });
  await cache.remove(alias);
  await cache.get(alias, () => Promise.resolve({ key }));
  return kernelOf(entry, architecture);
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
  modules: readonly string[],
  onProgress: OnProgress,
): Promise<Record<string, string>> {
  const report = (fraction: number): void =>
    onProgress({ step: `unpacking ${source.name}`, done: Math.round(fraction * deb.length), total: deb.length });
  const found: Contents = { kernel: undefined, release: '', modules: new Map() };
  const wanted = new Set<string>(modules.map(canonicalName));
  try {
    // A module shows what it depends on only when it is read, and that may lie before it in the archive. Hence rounds;
    // what was not found in a round that looked for it is built in, or not there.
    let looked: ReadonlySet<string>;
    do {
      looked = new Set(wanted);
      await scan(deb, found, wanted, report);
    } while ([...wanted].some((name) => !found.modules.has(name) && !looked.has(name)));
  } catch (cause) {
    if (cause instanceof CorruptData) throw new GuestFilesError(`${source.name}: ${cause.message}`, { cause });
    throw cause;
  }
  if (found.kernel === undefined) throw new GuestFilesError(`the package ${source.name} has no kernel in it`);

  await writeFile(join(draft, 'vmlinuz'), found.kernel);
  for (const [path, bytes] of found.modules.values()) {
    const target = join(draft, 'modules', path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes);
  }
  const paths = [...found.modules.values()].map(([path]) => path).sort();
  return { package: source.name, version: source.version, release: found.release, modules: paths.join(' ') };
}

interface Contents {
  kernel: Uint8Array | undefined;
  release: string;
  /** By name: the path below /lib/modules/RELEASE, and the plain ELF file. */
  readonly modules: Map<string, readonly [path: string, bytes: Uint8Array]>;
}

/** Goes through the package once, for what is wanted and not found yet; adds the dependencies to what is wanted. */
async function scan(
  deb: Uint8Array,
  found: Contents,
  wanted: Set<string>,
  report: (fraction: number) => void,
): Promise<void> {
  report(0);
  const isWanted = ({ name, type }: TarHeader): boolean => {
    if (type !== 'file') return false;
    if (KERNEL.test(name)) return found.kernel === undefined;
    const module = MODULE.test(name) ? moduleNameOf(name) : undefined;
    return module !== undefined && wanted.has(module) && !found.modules.has(module);
  };
  for (const { name, content } of tarEntries(debData(deb, report), isWanted)) {
    await breathe();
    const release = KERNEL.exec(name)?.[1];
    if (release !== undefined) {
      found.kernel = content;
      found.release = release;
    } else {
      const module = readModule(name, content);
      found.modules.set(module.name, [(MODULE.exec(name)?.[1] ?? name).replace(PACKED, ''), module.bytes]);
      module.depends.forEach((dependency) => wanted.add(dependency));
    }
    if (found.kernel !== undefined && [...wanted].every((one) => found.modules.has(one))) return;
  }
}

function kernelOf({ folder, facts, digest }: CacheEntry, architecture: Architecture): GuestKernel {
  return {
    architecture,
    vmlinuz: join(folder, 'vmlinuz'),
    release: facts['release'] ?? '',
    modulesFolder: join(folder, 'modules'),
    modules: (facts['modules'] ?? '').split(' ').filter((path) => path !== ''),
    digest,
  };
}
