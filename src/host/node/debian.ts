/**
 * `npm run debian`: boots a Debian from its own disk, with a network, and connects its console to this terminal until it powers off. The disk is built the first
 * time and kept. With no terminal on standard input its lines are typed into the guest's shell, and the guest is powered off at their end.
 */
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Cache, cacheFolder } from '../../toolstack/guest-files/cache.ts';
import { GuestFilesError, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { progressPrinter } from '../../toolstack/guest-files/progress-printer.ts';
import { dataFolder, provideDebianDisk } from '../../toolstack/root-image/debian-disk.ts';
import { defaultOptions } from '../../toolstack/root-image/options.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { bootAttended, configOf, exitCodeOf, quoted, runCommand, SHUTDOWN_reboot, toolstack } from './attended-boot.ts';
import { nodeDiskHost } from './disk-files.ts';

const usage = `Usage: npm run debian [-- OPTIONS]

Boots a Debian as a PV domain, from a disk that is built the first time and keeps what
the guest writes. "poweroff" in the guest ends it; Ctrl-] leaves and destroys it.
Commands can come from a pipe:

  printf 'uname -a\\ncat /sys/hypervisor/type\\n' | npm run --silent debian

Meanwhile \`bin/xl list\`, \`bin/xl dmesg\` and the like work in another terminal, and
\`bin/xl network-forward 2222 NAME:22\` for \`ssh -p 2222 root@localhost\` with a key of
your own in ~/.ssh. \`npm run demo\` boots within seconds, without any disk.

  --disk FILE      the disk (default ${join(dataFolder(), 'debian.qcow2')})
  --fresh          begins with a new disk; what was on the old one is lost
  --memory MIB     memory of the guest (default 512)
  --vcpus N        (default 1)
  --append TEXT    added to the kernel's command line
  --name NAME      name of the domain (default debian)
  -h, --help       this text
`;

interface Options {
  readonly disk: string;
  readonly fresh: boolean;
  readonly memory: string;
  readonly vcpus: string;
  readonly append: string;
  readonly name: string;
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      options: {
        disk: text,
        fresh: { type: 'boolean' },
        memory: { ...text, default: '512' },
        vcpus: { ...text, default: '1' },
        append: { ...text, default: '' },
        name: { ...text, default: 'debian' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return undefined;
    const { memory, vcpus, append, name, fresh = false } = values;
    return { disk: resolve(values.disk ?? join(dataFolder(), 'debian.qcow2')), fresh, memory, vcpus, append, name };
  } catch (error) {
    throw new XenError(error instanceof Error ? error.message : String(error), {
      hint: 'npm run debian -- --help',
      exitCode: 2,
    });
  }
}

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

async function provideDisk({ disk, fresh }: Options): Promise<void> {
  const progress = progressPrinter(process.stderr);
  const wanted = { ...defaultOptions, sshKeys: await ownKeys(), path: disk, fresh };
  try {
    await provideDebianDisk(wanted, nodeDiskHost, new Cache(cacheFolder()), progress.report);
  } catch (error) {
    if (!(error instanceof GuestFilesError)) throw error;
    const hint = [error.hint, 'npm run demo boots without a disk'].filter((line) => line !== undefined).join('\n');
    throw new XenError(error.message, { hint, cause: error });
  } finally {
    progress.end();
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (!options) {
    process.stdout.write(usage);
    return 0;
  }
  const typing = process.stdin.isTTY === true;
  await provideDisk(options);
  const extra = [...(typing ? [] : [PLAIN_CONSOLE]), options.append].filter(Boolean).join(' ');
  const lines = [
    `name = ${quoted(options.name)}`,
    'type = "pv"',
    'bootloader = "pygrub"',
    `memory = ${options.memory}`,
    `vcpus = ${options.vcpus}`,
    `disk = [ ${quoted(`format=qcow2,vdev=xvda,access=rw,target=${options.disk}`)} ]`,
    'vif = [ "bridge=xenbr0" ]',
    `extra = ${quoted(extra)}`,
    'on_reboot = "destroy"',
    'on_crash = "destroy"',
  ];
  const { client, close } = await toolstack();
  try {
    const config = configOf(lines, 'npm run debian');
    let ending = await bootAttended(client, config, typing);
    // What was typed by a pipe has been read to its end.
    while (ending === SHUTDOWN_reboot && typing) ending = await bootAttended(client, config, typing);
    return exitCodeOf(ending);
  } finally {
    await close();
  }
}

await runCommand(main);
