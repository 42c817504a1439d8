/** `xl create` */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { ConfigError } from '../../config/config-error.ts';
import { joinOverrides } from '../../config/config-text.ts';
import { configToJson, type DomainConfig } from '../../config/domain-config.ts';
import { formatJson } from '../../config/json.ts';
import type { JsonObject } from '../../config/json.ts';
import { remarks } from '../../config/keys.ts';
import { parseConfig } from '../../config/parse-config.ts';
import type { Settings } from '../../config/settings.ts';
import type { DaemonClient } from '../../daemon/client.ts';
import { withAbsoluteTarget } from '../disk-arguments.ts';
import { attempt, Exit, printHelp, readArguments, type Invocation } from '../command.ts';
import type { ConsoleEnd } from '../console-session.ts';

const short = 'AFVcdef:inpq';
const long = {
  defconfig: 'f:',
  dryrun: 'n',
  'ignore-global-affinity-masks': 'i',
  quiet: 'q',
  vncviewer: 'V',
  'vncviewer-autopass': 'A',
};

/** libxl's errors as exit codes of `xl create`. */
const exitFailed = 3;
const exitInvalid = 6;

export async function run(invocation: Invocation): Promise<number> {
  const { out, err, globals } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, { short, long }, 0);
  const overrides = given.filter((argument) => argument.includes('='));
  const files = given.filter((argument) => !argument.includes('='));
  const file = valueOf('f') ?? files.shift();
  if (files.length > 0) {
    await printHelp(invocation, 'create');
    return 2;
  }
  if (file === undefined) {
    err('Config file not specified and none in save file');
    return exitInvalid;
  }
  const text = joinOverrides(readConfig(file, err), overrides);
  if (!has('q')) err(`Parsing config from ${file}`);
  const { config, settings } = parse(text, file, err);
  const dryRun = globals.dryRun || has('n');
  if (dryRun || has('d')) (dryRun ? out : err)(formatJson(configToJson(config)) + (dryRun ? '\n' : ''));
  if (dryRun) return 0;
  if (!has('q')) tell(settings, err);
  const client = await invocation.daemon();
  const params = {
    config: withAbsolutePaths(config) as unknown as JsonObject,
    paused: has('p'),
    monitor: !has('e'),
    foreground: has('F') && !has('e'),
    verbose: globals.verbose > 0,
  };
  return has('c') ? createWithConsole(invocation, client, params) : create(invocation, client, params);
}

interface CreateParameters {
  readonly config: JsonObject;
  readonly paused: boolean;
  readonly monitor: boolean;
  readonly foreground: boolean;
  readonly verbose: boolean;
}

async function create(invocation: Invocation, client: DaemonClient, params: CreateParameters): Promise<number> {
  listen(invocation, client);
  const failure = await attempt(invocation, () => client.call('create', params));
  return failure === undefined ? 0 : -failure;
}

function listen({ err }: Invocation, client: DaemonClient, onCreated?: (domid: number) => void): void {
  client.onEvent = ({ log, monitor, created }) => {
    if (typeof log === 'string') err(log);
    if (typeof monitor === 'string') err(monitor);
    if (typeof created === 'number') onCreated?.(created);
  };
}

/**
 * The domain stays paused until its console is attached, so that nothing it prints can be missed, even when it does not live long.
 * With -F the first connection stays with the domain, and the console gets one of its own.
 */
async function createWithConsole(
  invocation: Invocation,
  client: DaemonClient,
  params: CreateParameters,
): Promise<number> {
  const { runConsole } = await import('../console-session.ts');
  const streams = { input: process.stdin, output: process.stdout };
  const watch = (from: DaemonClient, domid: number): Promise<ConsoleEnd> =>
    runConsole(
      from,
      async () => {
        await from.call('attachConsole', { domid });
        if (!params.paused) await from.call('unpause', { domid });
      },
      streams,
    );
  const console = params.foreground ? await invocation.daemonAgain() : client;
  const request = { ...params, paused: true };
  let created = -1;
  let watching: Promise<ConsoleEnd> | undefined;
  listen(invocation, client, (domid) => {
    watching = watch(console, domid);
  });
  const failure = await attempt(invocation, async () => {
    const { domid } = await client.call('create', request);
    created = domid;
  });
  if (failure !== undefined) return -failure;
  const end = await (watching ?? watch(console, created));
  if (console !== client) console.close();
  if (end !== 'lost') return 0;
  invocation.err('xl: the daemon has ended, and the domain with it');
  return 1;
}

function readConfig(file: string, err: (line: string) => void): Uint8Array {
  if (file === '/dev/null') return new Uint8Array();
  try {
    if (!statSync(file).isFile()) {
      err(`libxl: error: libxl_utils.c:346:libxl_read_file_contents: ${file} is not a plain file: Success`);
      err(`Failed to read config file: ${file}: Inappropriate ioctl for device`);
      throw new Exit(exitFailed);
    }
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Exit) throw error;
    err(`Failed to read config file: ${file}: ${systemMessage(error)}`);
    throw new Exit(exitFailed);
  }
}

/** libuv words errors as strerror(3) does, but for the capital. */
function systemMessage(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  const text = errno === undefined ? message : getSystemErrorMessage(errno);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function parse(text: string, file: string, err: (line: string) => void): { config: DomainConfig; settings: Settings } {
  try {
    return parseConfig(text, file, { cpus: availableParallelism() }, err);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (error.message !== '') err(error.message);
    throw new Exit(error.exitCode);
  }
}

function tell(settings: Settings, err: (line: string) => void): void {
  for (const remark of remarks(settings)) err(remark);
}

/** The daemon works in another directory than the user. */
function withAbsolutePaths(config: DomainConfig): DomainConfig {
  const { kernel, ramdisk } = config.b_info;
  const absolute = (path: string | undefined): string | undefined => (path ? resolve(path) : path);
  const devices = { ...config.devices, disks: config.devices.disks?.map(withAbsoluteTarget) ?? [] };
  return { ...config, b_info: { ...config.b_info, kernel: absolute(kernel), ramdisk: absolute(ramdisk) }, devices };
}
