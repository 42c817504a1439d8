/**
 * `npm start`: boots a Debian from its own disk, with a network, and connects its console to this terminal until it powers off. The disk is built the first
 * time and kept. With no terminal on standard input its lines are typed into the guest's shell, and the guest is powered off at their end.
 */
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { channelLine } from '../../toolstack/agent/guest-agents.ts';
import { Cache, cacheFolder } from '../../toolstack/guest-files/cache.ts';
import type { OnProgress } from '../../toolstack/guest-files/progress.ts';
import { dataFolder, provideDebianDisk } from '../../toolstack/root-image/debian-disk.ts';
import { defaultOptions } from '../../toolstack/root-image/options.ts';
import { quoted, runCommand } from './attended-boot.ts';
import { nodeDiskHost } from './disk-files.ts';
import { bootForCaller, type Asked } from './guest-command.ts';

const ownDisk = join(dataFolder(), 'debian.qcow2');

const help = `Usage: npm start [-- OPTIONS]

Boots a Debian as a PV domain, from a disk that is built the first time and keeps what
the guest writes. "poweroff" in the guest ends it; Ctrl-] leaves and destroys it.
Commands can come from a pipe:

  printf 'uname -a\\ncat /sys/hypervisor/type\\n' | npm start --silent

Meanwhile \`bin/xl list\`, \`bin/xl exec debian uptime\` and the like work in another
terminal, and \`bin/xl network-forward 2222 debian:22\` for \`ssh -p 2222
root@localhost\` with a key that was in ~/.ssh when the disk was built. \`npm run demo\`
boots within seconds, without any disk.

  --disk FILE      the disk (default ${ownDisk})
  --fresh          begins with a new disk; what was on the old one is lost
  --vcpus N        (default 1)
`;

/** The public keys of whoever runs this may log in. */
async function ownKeys(): Promise<string[]> {
  const folder = join(homedir(), '.ssh');
  const names = await readdir(folder).catch(() => []);
  const texts = names
    .filter((name) => /^id_.*\.pub$/.test(name))
    .sort()
    .map((name) => readFile(join(folder, name), 'utf8').catch(() => ''));
  return (await Promise.all(texts)).map((text) => text.trim()).filter((text) => text !== '' && !text.includes('\n'));
}

async function provide(asked: Asked, onProgress: OnProgress): Promise<readonly string[]> {
  const path = resolve(asked.text('disk') ?? ownDisk);
  const wanted = { ...defaultOptions, sshKeys: await ownKeys(), path, fresh: asked.flag('fresh') };
  await provideDebianDisk(wanted, nodeDiskHost, new Cache(cacheFolder()), onProgress);
  return [
    'bootloader = "pygrub"',
    `vcpus = ${asked.text('vcpus') ?? 1}`,
    `disk = [ ${quoted(`format=qcow2,vdev=xvda,access=rw,target=${path}`)} ]`,
    'vif = [ "bridge=xenbr0" ]',
    channelLine,
  ];
}

const text = { type: 'string' } as const;

await runCommand(() =>
  bootForCaller({
    command: 'npm start',
    help,
    memory: 512,
    name: 'debian',
    options: { disk: text, fresh: { type: 'boolean' }, vcpus: text },
    hint: 'npm run demo boots without a disk',
    reboots: true,
    provide,
    kernelArguments: { key: 'extra', always: [] },
  }),
);
