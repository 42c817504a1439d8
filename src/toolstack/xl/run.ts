/** From a command line to an exit code. */
import { XenError } from '../xen-error.ts';
import { Exit, findDomain, readArguments, type GlobalOptions, type Invocation } from './command.ts';
import { lookUp, type CommandRow } from './command-table.ts';
import { getopt } from './getopt.ts';
import type { DaemonClient } from '../daemon/client.ts';

export interface Terminal {
  out(text: string): void;
  err(line: string): void;
  readonly env: NodeJS.ProcessEnv;
}

export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  const { out, err } = terminal;
  const globals = readGlobals(argv, err);
  if (globals === undefined) return 1;
  const [typed, ...rest] = globals.rest;
  if (typed === undefined) {
    out(await help(undefined));
    return 1;
  }
  const command = lookUp(typed);
  if (command === undefined) {
    if (typed !== 'help') {
      err('command not implemented');
      return 1;
    }
    out(await help(rest[0]));
    return 0;
  }
  const { name, row } = command;
  if (globals.options.dryRun && row.dryRun === undefined) {
    err('command does not implement -N (dryrun) option');
    return 1;
  }
  let client: DaemonClient | undefined;
  const invocation: Invocation = {
    name,
    argv: rest,
    globals: globals.options,
    out,
    err,
    daemon: async () => (client ??= await connect(terminal)),
    daemonIfRunning: async () => (client ??= await connectIfRunning(terminal)),
    daemonAgain: () => connect(terminal),
  };
  try {
    return await (row.load === undefined ? notYet(invocation, row) : (await row.load()).run(invocation));
  } catch (error) {
    if (error instanceof Exit) return error.code;
    if (!(error instanceof XenError)) throw error;
    for (const line of error.lines) err(line);
    if (error.hint !== undefined) err(`hint: ${error.hint}`);
    return error.exitCode;
  } finally {
    client?.close();
  }
}

function readGlobals(
  argv: readonly string[],
  err: (line: string) => void,
): { readonly options: GlobalOptions; readonly rest: readonly string[] } | undefined {
  const parsed = getopt(argv, { short: '+vftTN' });
  const count = (letter: string): number =>
    parsed.options.filter((option) => 'letter' in option && option.letter === letter).length;
  for (const option of parsed.options) {
    if (!('unknown' in option)) continue;
    err(`xl: invalid option -- '${option.unknown}'`);
    err('unknown global option');
    return undefined;
  }
  const options = { verbose: count('v'), dryRun: count('N') > 0, force: count('f') > 0 };
  return { options, rest: parsed.arguments };
}

async function help(name: string | undefined): Promise<string> {
  const { commandList, helpWithExamples } = await import('./help.ts');
  if (name === undefined || name === 'help') return commandList();
  return helpWithExamples(lookUp(name)?.name ?? name);
}

async function connect({ env }: Terminal): Promise<DaemonClient> {
  const running = await connectIfRunning({ env });
  if (running !== undefined) return running;
  const { runDirectory } = await import('../daemon/run-directory.ts');
  const { connectOrStart } = await import('../daemon/start.ts');
  return connectOrStart(runDirectory(env));
}

async function connectIfRunning({ env }: Pick<Terminal, 'env'>): Promise<DaemonClient | undefined> {
  const { runDirectory } = await import('../daemon/run-directory.ts');
  const { DaemonClient } = await import('../daemon/client.ts');
  const running = await DaemonClient.connect(runDirectory(env).socket);
  return running?.requireVersion();
}

/** Wrong arguments and unknown domains are told as ever; only then that there is nothing to run. */
async function notYet(invocation: Invocation, { later }: CommandRow): Promise<number> {
  const { required = 0, domain, short = '' } = later ?? {};
  const { arguments: given } = await readArguments(invocation, { short }, required);
  if (domain !== undefined) await findDomain(invocation, given[0] ?? '');
  invocation.err(`xl: ${invocation.name} is not supported yet`);
  return 1;
}
