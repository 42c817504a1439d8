/** `xl create` */
import { configToJson } from '../../config/domain-config.ts';
import { formatJson } from '../../config/json.ts';
import type { JsonObject } from '../../config/json.ts';
import { remarks } from '../../config/keys.ts';
import type { DaemonClient } from '../../daemon/client.ts';
import { attempt, readArguments, type Invocation } from '../command.ts';
import { configSource, parseOrExit, readConfig, splitFirst, withAbsolutePaths, wrongUse } from '../config-file.ts';
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
  const { first, argv } = splitFirst(invocation.argv);
  const { has, valueOf, arguments: given } = await readArguments({ ...invocation, argv }, { short, long }, 0);
  const { file, overrides } = configSource(first, valueOf('f'), given) ?? (await wrongUse(invocation));
  if (file === undefined) {
    err('Config file not specified and none in save file');
    return exitInvalid;
  }
  const text = readConfig(file, overrides, err, exitFailed);
  if (!has('q')) err(`Parsing config from ${file}`);
  const { config, settings } = parseOrExit(text, file, err);
  const dryRun = globals.dryRun || has('n');
  if (dryRun || has('d')) (dryRun ? out : err)(formatJson(configToJson(config)) + (dryRun ? '\n' : ''));
  if (dryRun) return 0;
  if (!has('q')) for (const remark of remarks(settings)) err(remark);
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
