/** `debian-image [OPTIONS] FILE` builds a disk image with a Debian system. */
import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Cache, cacheFolder } from '../guest-files/cache.ts';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';
import { progressPrinter } from '../guest-files/progress-printer.ts';
import { XenError } from '../xen-error.ts';
import { buildRootImage } from './build-root-image.ts';
import { defaultOptions, type RootImageOptions } from './options.ts';

const usage = `Usage: debian-image [OPTIONS] FILE

Builds a raw disk image with a minimal Debian for a PV domain, from packages that
apt fetches from where this machine gets its own. No root, nothing is installed here.

  --size SIZE            of the disk, as 4G or 900M (default ${defaultOptions.sizeMiB}M); the file is sparse
  --hostname NAME        (default ${defaultOptions.hostname})
  --kernel PACKAGE       (default ${defaultOptions.kernel})
  --package NAME         one more package; may be given several times
  --ssh-key FILE         public key that may log in as root; several times
  --root-password-file FILE
                         its first line becomes root's password. Without it nobody logs
                         in by password, and the console is root's without asking
  --partition-table TYPE none: the file system is the whole disk, and grows with it;
                         mbr: one partition (default ${defaultOptions.partitionTable})
  --force                replaces FILE
  -h, --help             this text
`;

interface Command {
  readonly file: string;
  readonly options: RootImageOptions;
  readonly force: boolean;
}

async function read(args: readonly string[]): Promise<Command | undefined> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      size: text,
      hostname: text,
      kernel: text,
      package: { ...text, multiple: true },
      'ssh-key': { ...text, multiple: true },
      'root-password-file': text,
      'partition-table': text,
      force: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return undefined;
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0)
    throw new GuestFilesError('one FILE is to be named', { hint: 'debian-image --help' });
  const keys = await Promise.all((values['ssh-key'] ?? []).map((path) => readText(path)));
  const password = values['root-password-file'];
  const options: RootImageOptions = {
    sizeMiB: values.size === undefined ? defaultOptions.sizeMiB : mebibytes(values.size),
    hostname: values.hostname ?? defaultOptions.hostname,
    kernel: values.kernel ?? defaultOptions.kernel,
    packages: values.package ?? [],
    sshKeys: keys.flatMap((lines) => lines.split('\n')).filter((line) => line.trim() !== '' && !line.startsWith('#')),
    rootPassword: password === undefined ? undefined : ((await readText(password)).split('\n')[0] ?? ''),
    partitionTable: partitionTable(values['partition-table']),
  };
  return { file: resolve(file), options, force: values.force ?? false };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GuestFilesError(`cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

const units: Readonly<Record<string, number>> = { M: 1, G: 1024, T: 1024 * 1024 };

function mebibytes(text: string): number {
  const [, number, unit = ''] = /^(\d{1,9})([MGT])(?:i?B)?$/i.exec(text) ?? [];
  const size = Number(number) * (units[unit.toUpperCase()] ?? NaN);
  if (!Number.isInteger(size)) throw new GuestFilesError(`--size ${text} is no size like 4G or 900M`);
  return size;
}

function partitionTable(text: string | undefined): RootImageOptions['partitionTable'] {
  if (text === undefined) return defaultOptions.partitionTable;
  if (text === 'none' || text === 'mbr') return text;
  throw new GuestFilesError(`--partition-table is none or mbr, not ${text}`);
}

async function main(args: readonly string[]): Promise<number> {
  const command = await read(args);
  if (command === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const { file, options, force } = command;
  if (!force && (await stat(file).catch(() => undefined)) !== undefined)
    throw new GuestFilesError(`${file} exists already`, { hint: '--force replaces it' });
  const progress = progressPrinter(process.stderr);
  // Beside the file, so that it appears whole or not at all.
  const draft = await mkdtemp(join(dirname(file), '.debian-image-'));
  try {
    await buildRootImage(draft, options, new Cache(cacheFolder()), progress.report);
    await rename(join(draft, 'image'), file);
  } finally {
    progress.end();
    await rm(draft, { recursive: true, force: true });
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage =
    error instanceof TypeError && (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  if (!(error instanceof XenError) && !isUsage) throw error;
  console.error(`debian-image: ${error.message}`);
  if (error instanceof XenError && error.hint !== undefined) console.error(error.hint);
  process.exitCode = isUsage ? 2 : 1;
}
