/** Builds the guest's first root: busybox, the kernel's modules with the indexes that modprobe reads, and a start script. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AGENT_PATH, agentProgram } from './agent.ts';
import { fetchBusybox } from './busybox.ts';
import { checksum, type Cache } from './cache.ts';
import { cpioArchive, type CpioEntry } from './cpio.ts';
import { consoleScript, hotplugScript, initScript, inittab, motd, shellAliases, stopScript } from './guest-scripts.ts';
import { readModule } from './kernel-module.ts';
import type { GuestKernel } from './kernel-package.ts';
import type { OnProgress } from './progress.ts';

export interface InitramfsOptions {
  /** A second, 32-bit busybox as /bin/busybox32. */
  readonly busybox32?: boolean;
  /** More files, by their path in the guest. */
  readonly extraFiles?: Readonly<Record<string, { readonly content: Uint8Array; readonly executable?: boolean }>>;
}

/** Bumped when the archive's making changes in a way that its inputs do not show. */
const LAYOUT = 'v1';

/** Path of the archive. It is not compressed: the guest's processor is slower than the host's disk. */
export async function makeInitramfs(
  kernel: GuestKernel,
  cache: Cache,
  onProgress: OnProgress,
  options: InitramfsOptions = {},
): Promise<string> {
  const busybox = await fetchBusybox(kernel.architecture, cache, onProgress);
  const busybox32 = options.busybox32 === true ? await fetchBusybox('i386', cache, onProgress) : undefined;
  const agent = kernel.architecture === 'amd64' ? await agentProgram(cache, onProgress) : undefined;
  const settings = inittab(agent === undefined ? undefined : `/${AGENT_PATH}`);
  const extra = Object.entries(options.extraFiles ?? {});

  const inputs = createHash('sha256').update(
    `${kernel.release}\n${kernel.digest}\n${await checksum(busybox)}\n${initScript}${settings}${consoleScript}${hotplugScript}${shellAliases}`,
  );
  if (busybox32 !== undefined) inputs.update(`32 ${await checksum(busybox32)}\n`);
  if (agent !== undefined) inputs.update(`agent ${await checksum(agent)}\n`);
  for (const [path, { content, executable }] of extra) {
    inputs.update(`${path} ${executable === true ? 'x' : '-'} ${createHash('sha256').update(content).digest('hex')}\n`);
  }
  const { folder } = await cache.get(`initramfs/${LAYOUT}/${inputs.digest('hex').slice(0, 32)}`, async (draft) => {
    onProgress({ step: 'building the initramfs' });
    const entries: CpioEntry[] = [
      ...basicEntries(kernel.release),
      file('etc/inittab', settings),
      ...(agent === undefined ? [] : [executable(AGENT_PATH, await readFile(agent))]),
      executable('bin/busybox', await readFile(busybox)),
      ...(busybox32 === undefined ? [] : [executable('bin/busybox32', await readFile(busybox32))]),
      ...(await moduleEntries(kernel)),
      ...extra.map(([path, file]) => ({ path: path.replace(/^\/+/, ''), kind: { type: 'file', ...file } as const })),
    ];
    await writeFile(join(draft, 'initramfs.cpio'), cpioArchive(entries));
    return { release: kernel.release };
  });
  return join(folder, 'initramfs.cpio');
}

function basicEntries(release: string): CpioEntry[] {
  const folders = [
    'proc',
    'sys',
    'dev',
    'run',
    'tmp',
    'root',
    'etc',
    'bin',
    'sbin',
    'mnt',
    'usr/bin',
    'usr/sbin',
    'var',
  ];
  return [
    ...folders.map((path) => ({ path, kind: { type: 'folder' } as const })),
    // The kernel opens it before anything is mounted.
    { path: 'dev/console', kind: { type: 'character', major: 5, minor: 1 } },
    { path: 'bin/sh', kind: { type: 'link', target: 'busybox' } },
    // The kernel's own helper for loading modules on demand.
    { path: 'sbin/modprobe', kind: { type: 'link', target: '../bin/busybox' } },
    executable('init', initScript),
    file('etc/shell', shellAliases),
    executable('sbin/console-shell', consoleScript),
    executable('sbin/hotplug', hotplugScript),
    executable('sbin/poweroff', stopScript('poweroff')),
    executable('sbin/halt', stopScript('halt')),
    executable('sbin/reboot', stopScript('reboot')),
    file('etc/passwd', 'root::0:0:root:/root:/bin/sh\n'),
    file('etc/group', 'root:x:0:\n'),
    file('etc/motd', motd(release)),
  ];
}

async function moduleEntries(kernel: GuestKernel): Promise<CpioEntry[]> {
  const folder = `lib/modules/${kernel.release}`;
  const modules = await Promise.all(
    kernel.modules.map(async (path) => ({
      path,
      ...readModule(path, await readFile(join(kernel.modulesFolder, path))),
    })),
  );
  const pathOf = new Map(modules.map(({ name, path }) => [name, path]));
  const dependsOf = new Map(modules.map(({ name, depends }) => [name, depends]));
  /** In the order in which modprobe wants them: nearest first. */
  const closure = (name: string): string[] => {
    const found = new Set<string>();
    const visit = (one: string): void => {
      for (const dependency of dependsOf.get(one) ?? []) {
        if (found.has(dependency) || !pathOf.has(dependency)) continue;
        found.add(dependency);
        visit(dependency);
      }
    };
    visit(name);
    return [...found].flatMap((one) => pathOf.get(one) ?? []);
  };
  const dep = modules.map(({ name, path }) => `${[`${path}:`, ...closure(name)].join(' ')}\n`);
  const alias = modules.flatMap(({ name, aliases }) => aliases.map((pattern) => `alias ${pattern} ${name}\n`));
  return [
    ...modules.map(({ path, bytes }) => ({
      path: `${folder}/${path}`,
      kind: { type: 'file', content: bytes } as const,
    })),
    file(`${folder}/modules.dep`, dep.join('')),
    file(`${folder}/modules.alias`, alias.join('')),
  ];
}

function file(path: string, content: string): CpioEntry {
  return { path, kind: { type: 'file', content: Buffer.from(content) } };
}

function executable(path: string, content: string | Uint8Array): CpioEntry {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return { path, kind: { type: 'file', content: bytes, executable: true } };
}
