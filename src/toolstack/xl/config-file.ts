/** A domain's configuration file on command lines of xl, with what is set after it: `create` and `config-update`. */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { ConfigError } from '../config/config-error.ts';
import { joinOverrides } from '../config/config-text.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { parseConfig, type ParsedConfig } from '../config/parse-config.ts';
import { Exit, printHelp, type Invocation } from './command.ts';
import { withAbsoluteTarget } from './disk-arguments.ts';
import { systemMessage } from '../system-message.ts';

/** A file as the very first argument is taken before any option is read; `--defconfig` counts then, and no second file. */
export function splitFirst(argv: readonly string[]): { first: string | undefined; argv: readonly string[] } {
  const [first, ...rest] = argv;
  const isFile = first !== undefined && !first.startsWith('-') && !first.includes('=');
  return isFile ? { first, argv: rest } : { first: undefined, argv };
}

/** Undefined: there are more files than one. */
export function configSource(
  first: string | undefined,
  option: string | undefined,
  given: readonly string[],
): { readonly file: string | undefined; readonly overrides: readonly string[] } | undefined {
  const overrides = given.filter((argument) => argument.includes('='));
  const files = given.filter((argument) => !argument.includes('='));
  const file = option ?? first ?? files.shift();
  return files.length > 0 ? undefined : { file, overrides };
}

/** `config-update` shows the help of `create`, too. */
export async function wrongUse(invocation: Invocation): Promise<never> {
  await printHelp(invocation, 'create');
  throw new Exit(2);
}

/** The text that is parsed, in bytes as latin1. `failed`: what the command exits with when it cannot be read. */
export function readConfig(
  file: string,
  overrides: readonly string[],
  err: (line: string) => void,
  failed: number,
): string {
  return joinOverrides(readBytes(file, err, failed), overrides);
}

function readBytes(file: string, err: (line: string) => void, failed: number): Uint8Array {
  if (file === '/dev/null') return new Uint8Array();
  try {
    if (!statSync(file).isFile()) {
      err(`libxl: error: libxl_utils.c:346:libxl_read_file_contents: ${file} is not a plain file: Success`);
      err(`Failed to read config file: ${file}: Inappropriate ioctl for device`);
      throw new Exit(failed);
    }
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Exit) throw error;
    err(`Failed to read config file: ${file}: ${systemMessage(error)}`);
    throw new Exit(failed);
  }
}

export function parseOrExit(text: string, file: string, err: (line: string) => void): ParsedConfig {
  try {
    return parseConfig(text, file, { cpus: availableParallelism() }, err);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (error.message !== '') err(error.message);
    throw new Exit(error.exitCode);
  }
}

/** The daemon works in another directory than the user. */
export function withAbsolutePaths(config: DomainConfig): DomainConfig {
  const { kernel, ramdisk } = config.b_info;
  const absolute = (path: string | undefined): string | undefined => (path ? resolve(path) : path);
  const devices = { ...config.devices, disks: config.devices.disks?.map(withAbsoluteTarget) ?? [] };
  return { ...config, b_info: { ...config.b_info, kernel: absolute(kernel), ramdisk: absolute(ramdisk) }, devices };
}
