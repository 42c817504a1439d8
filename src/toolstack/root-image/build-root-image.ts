/**
 * Builds a disk with a Debian system from packages, without root: apt finds and fetches the packages, the essential ones are unpacked into a folder, and
 * in there Debian's own dpkg does the rest (`scripts.ts`). What it comes to is what an installer would leave.
 */
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, open, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AGENT_PATH, agentProgram } from '../guest-files/agent.ts';
import { Apt, type Archive } from '../guest-files/apt.ts';
import type { Cache } from '../guest-files/cache.ts';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';
import type { OnProgress } from '../guest-files/progress.ts';
import { basePackages, guestConfig, type GuestFile } from './guest-config.ts';
import { bootRecord, FIRST_PARTITION } from './boot-record.ts';
import { namespaceOptions, runIsolated, runProgram } from './namespaces.ts';
import { checkOptions, type RootImageOptions } from './options.ts';
import { inside, outside, STEP_MARK } from './scripts.ts';

const MIB = 1 << 20;
/** apt's pattern for what Debian cannot be without. */
const ESSENTIAL = '?essential';
/** Makes files look as if they had the owners that they are given; used while the image is built, and not a part of it. */
const FAKEROOT = ['fakeroot', 'libfakeroot'];
/** Links that make /bin and the like a part of /usr, as in all of Debian now. */
const merged = ['bin', 'sbin', 'lib', 'lib64'];
/** Excluded from the very first unpacking as dpkg excludes them later. */
const noDocumentation = ['doc', 'man', 'info', 'locale'].map((folder) => `--exclude=./usr/share/${folder}/*`);

/** What the image consists of, by name and version. */
export interface RootImage {
  readonly packages: readonly string[];
}

/** Leaves a raw disk as `image` in the folder. Throws GuestFilesError. */
export async function buildRootImage(
  folder: string,
  options: RootImageOptions,
  cache: Cache,
  onProgress: OnProgress,
): Promise<RootImage> {
  checkOptions(options);
  const namespaces = await namespaceOptions();
  const apt = new Apt(cache, 'amd64', onProgress);
  onProgress({ step: 'finding the packages' });
  const base = [ESSENTIAL, 'usr-is-merged'];
  const names = [...base, ...basePackages, options.kernel, ...options.packages];
  const archives = await apt.resolve(names);
  const first = new Set((await apt.resolve(base)).map(({ name }) => name));
  const agent = await agentProgram(cache, onProgress);
  const sources = await apt.debianSources();
  if (sources.length === 0) throw new GuestFilesError('apt on this machine has no Debian archive in its sources');
  return cache.withScratch(async (scratch) => {
    const [root, packages, fakeroot] = ['root', 'packages', 'fakeroot'].map((name) => join(scratch, name));
    if (root === undefined || packages === undefined || fakeroot === undefined) throw new Error('three folders');
    try {
      await apt.downloadAll(names, archives, packages);
      await fetchFakeroot(apt, scratch, fakeroot);
      await unpackFirst(
        archives.filter(({ name }) => first.has(name)),
        packages,
        root,
        onProgress,
      );
      const uuid = randomUUID();
      await writeFiles(root, guestConfig(options, uuid, sources));
      if (agent !== undefined) await installAgent(agent, root);
      await prepareDisk(join(folder, 'image'), options);
      const script = join(scratch, 'inside');
      await writeFile(script, inside);
      const offset = options.partitionTable === 'mbr' ? FIRST_PARTITION : 0;
      await runIsolated(namespaces, {
        script: outside,
        args: [root, packages, fakeroot, folder, script],
        env: {
          ROOT_PASSWORD: options.rootPassword ?? '',
          UUID: uuid,
          OFFSET: String(offset),
          SIZE_KIB: String((options.sizeMiB * MIB - offset) / 1024),
          // What the one mapped user cannot do is not tried.
          FAKEROOTDONTTRYCHOWN: '1',
        },
        onLine: follow(archives, onProgress),
      });
    } finally {
      await makeRemovable(root);
    }
    return { packages: archives.map(({ file }) => file.replace(/_[a-z0-9]+\.deb$/, '').replace('_', ' ')) };
  });
}

async function fetchFakeroot(apt: Apt, scratch: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const name of FAKEROOT) {
    const place = join(scratch, name.concat('.deb'));
    await mkdir(place, { recursive: true });
    await runProgram('dpkg-deb', ['--extract', await apt.download(await apt.show(name), place), target]);
  }
}

/** Files alone, without dpkg's knowing: enough for dpkg to run in there, and to install these over themselves. */
async function unpackFirst(
  archives: readonly Archive[],
  packages: string,
  root: string,
  onProgress: OnProgress,
): Promise<void> {
  for (const name of merged) {
    await mkdir(join(root, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp', 'mnt', 'var/lib/dpkg/info', 'var/lib/dpkg/updates'])
    await mkdir(join(root, name), { recursive: true });
  await writeFile(join(root, 'var/lib/dpkg/status'), '');
  await writeFile(join(root, 'var/lib/dpkg/info/format'), '1\n');
  const total = archives.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  // $1 is the package, $2 the target; the rest goes to tar. A link that leads to a folder stays one.
  const script =
    'deb=$1 root=$2; shift 2; dpkg-deb --fsys-tarfile "$deb" | tar -x -p --no-same-owner --keep-directory-symlink -C "$root" "$@"';
  for (const { file, size } of archives) {
    onProgress({ step: 'unpacking the essential packages', done, total });
    await runProgram('sh', ['-c', script, 'sh', join(packages, file), root, ...noDocumentation]);
    done += size;
  }
}

async function writeFiles(root: string, files: ReadonlyMap<string, GuestFile>): Promise<void> {
  for (const [path, { content, mode }] of files) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
    await chmod(target, mode ?? 0o644);
  }
}

async function installAgent(program: string, root: string): Promise<void> {
  const target = join(root, AGENT_PATH);
  await mkdir(dirname(target), { recursive: true });
  await copyFile(program, target);
  await chmod(target, 0o755);
}

/** A sparse file of the disk's size, with its partition table. */
async function prepareDisk(path: string, { sizeMiB, partitionTable }: RootImageOptions): Promise<void> {
  await using file = await open(path, 'w');
  if (partitionTable === 'mbr') await file.write(bootRecord(sizeMiB * MIB));
  await file.truncate(sizeMiB * MIB);
}

const steps: Readonly<Record<string, string>> = {
  unpack: 'unpacking the packages',
  configure: 'configuring the packages',
  initramfs: 'making the initramfs',
  settings: 'writing the settings',
  filesystem: 'making the file system',
};

/** Turns what dpkg says into progress: a package counts by the size of its file. */
function follow(archives: readonly Archive[], onProgress: OnProgress): (line: string) => void {
  const sizes = new Map(archives.map(({ name, size }) => [name, size]));
  const total = archives.reduce((sum, { size }) => sum + size, 0);
  let step = '';
  let done = 0;
  return (line) => {
    if (line.startsWith(STEP_MARK)) {
      const next = steps[line.slice(STEP_MARK.length)];
      if (next === undefined) return;
      step = next;
      done = 0;
      onProgress({ step });
      return;
    }
    const name = /^(?:Unpacking|Setting up) ([^ :]+)/.exec(line)?.[1];
    if (name === undefined || step === '') return;
    done = Math.min(total, done + (sizes.get(name) ?? 0));
    onProgress({ step, done, total });
  };
}

/** Packages may have folders that their owner cannot write to, and then cannot empty. */
async function makeRemovable(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    await chmod(path, 0o700).catch(() => undefined);
    await makeRemovable(path);
  }
}
