/** What a command of `xl-image` gets, and how it reads its arguments. */
import { DiskError, type DiskFormat, diskFormats, type DiskHost } from '../../dom0/disk/index.ts';
import { probeFormat } from '../../dom0/disk/probe.ts';
import { XenError } from '../xen-error.ts';
import { getopt } from '../xl/getopt.ts';

/** The place the tool runs in. */
export interface ImageSurroundings {
  readonly host: DiskHost;
  out(text: string): void;
  /** One line on standard error. */
  err(line: string): void;
  /** Standard error, for progress. */
  readonly terminal: NodeJS.WriteStream;
  now(): number;
  random(length: number): Uint8Array;
}

export interface ImageInvocation extends ImageSurroundings {
  readonly options: ReadonlyMap<string, string>;
  readonly arguments: readonly string[];
}

/** Resolves with the exit code. */
export type ImageCommand = (invocation: ImageInvocation) => Promise<number>;

export interface ImageCommandRow {
  readonly usage: string;
  readonly about: string;
  /** What `--help` says below the usage. */
  readonly help: string;
  /** As getopt(3). */
  readonly short: string;
  readonly long: Readonly<Record<string, string>>;
  readonly required: number;
  readonly most: number;
  readonly load: () => Promise<{ readonly run: ImageCommand }>;
}

/** Exit code for a command line that makes no sense. */
const USAGE = 2;

export function usageError(message: string, hint?: string): XenError {
  return new XenError(message, { exitCode: USAGE, ...(hint === undefined ? {} : { hint }) });
}

export function readArguments(
  name: string,
  row: ImageCommandRow,
  argv: readonly string[],
): { readonly options: ReadonlyMap<string, string>; readonly arguments: readonly string[] } {
  // `resize FILE -1G`: no option is a number.
  const isSize = (argument: string): boolean => /^-\d/.test(argument);
  const ordered = [...argv.filter((one) => !isSize(one)), ...(argv.some(isSize) ? ['--', ...argv.filter(isSize)] : [])];
  const parsed = getopt(ordered, { short: `h${row.short}`, long: { ...row.long, help: 'h' } });
  const options = new Map<string, string>();
  const more = `xl-image ${name} --help tells them`;
  for (const option of parsed.options) {
    if ('unknown' in option) {
      const letter = option.unknown === '\0' ? '' : ` -${option.unknown}`;
      throw usageError(`${name} has no such option${letter}, or it lacks its value`, more);
    }
    options.set(option.letter, option.value ?? '');
  }
  const { arguments: given } = parsed;
  if (!options.has('h') && (given.length < row.required || given.length > row.most)) {
    throw usageError(`usage: xl-image ${name} ${row.usage}`, more);
  }
  return { options, arguments: given };
}

export function readFormat(text: string): DiskFormat {
  const format = text === 'vpc' ? 'vhd' : diskFormats.find((one) => one === text);
  if (format === undefined) throw usageError(`no format "${text}"`, `the formats are ${diskFormats.join(', ')}`);
  return format;
}

/** What `-f` says, or what the image looks like. */
export async function formatOf({ options, host }: ImageInvocation, path: string): Promise<DiskFormat> {
  const given = options.get('f');
  return given === undefined ? probeFormat(host, path) : readFormat(given);
}

/** For what only qcow2 has. */
export async function requireQcow2(invocation: ImageInvocation, path: string, what: string): Promise<void> {
  const format = await formatOf(invocation, path);
  if (format !== 'qcow2') throw new DiskError('ENOTSUP', `${path} is ${format}, which has no ${what}`);
}
