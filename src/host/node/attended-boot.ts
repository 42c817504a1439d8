/** A guest that is created for whoever started this process, and ends with it: what the commands that boot one (`guest-command.ts`) do with it. */
import type { JsonObject } from '../../toolstack/config/json.ts';
import { parseConfig } from '../../toolstack/config/parse-config.ts';
import { DaemonClient } from '../../toolstack/daemon/client.ts';
import { startDaemon } from '../../toolstack/daemon/daemon.ts';
import { acquireLock } from '../../toolstack/daemon/lock.ts';
import { prepareRunDirectory } from '../../toolstack/daemon/prepare-run-directory.ts';
import { runDirectory } from '../../toolstack/daemon/run-directory.ts';
import { atPaceOf } from '../../toolstack/drained.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { runConsole } from '../../toolstack/xl/console-session.ts';
import { nodeDiskHost } from './disk-files.ts';
import { createHost } from './hypervisor-host.ts';
import { nodeNetwork } from './net/network-host.ts';
import { PRINT_END, PromptFilter } from './shell-feed.ts';

/** Shutdown reasons (xen/include/public/sched.h). */
export const SHUTDOWN_poweroff = 0;
export const SHUTDOWN_reboot = 1;
const reasons = ['poweroff', 'reboot', 'suspend', 'crash', 'watchdog', 'soft reset'];

/** A shutdown reason, or how else it ended. */
export type Ending = number | 'left' | 'destroyed';

/** Quoted as xl.cfg wants it. */
export const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** A configuration of these lines, of which nothing is without effect that `xl create` would tell of. */
export function configOf(lines: readonly string[], source: string): JsonObject {
  const problems: string[] = [];
  const { config } = parseConfig(lines.join('\n') + '\n', source, { cpus: 1 }, (line) => problems.push(line));
  if (problems.length > 0) process.stderr.write(problems.join('\n') + '\n');
  return config as unknown as JsonObject;
}

/** Runs a command to its end, with the exit code and the words of its errors. */
export async function runCommand(main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    process.stderr.write(`${error.lines.join('\n')}\n${error.hint === undefined ? '' : `${error.hint}\n`}`);
    process.exitCode = error.exitCode;
  }
  // Standard input may keep the process alive.
  process.stdin.destroy();
}

/** A client of the daemon that runs already, or of one in this process, which ends with it. */
export async function toolstack(): Promise<{ client: DaemonClient; close: () => Promise<void> }> {
  const run = runDirectory();
  prepareRunDirectory(run);
  const lock = await acquireLock(run.path);
  const daemon =
    lock &&
    (await startDaemon({
      host: createHost(),
      run,
      diskHost: nodeDiskHost,
      network: nodeNetwork,
      log: () => undefined,
    }));
  const client = await DaemonClient.connect(run.socket);
  if (!client) throw new XenError('the daemon holds its lock but does not serve');
  const close = async (): Promise<void> => {
    client.close();
    await daemon?.close();
    lock?.release();
  };
  return { client, close };
}

/**
 * Creates the domain and stays at its console until it is gone; the answer is why it shut down, or that the person left and it was destroyed.
 * With no terminal, the lines of standard input are the guest's, and it is powered off at their end.
 */
export async function bootAttended(client: DaemonClient, config: JsonObject, typing: boolean): Promise<Ending> {
  const { domid } = await client.call('create', {
    config,
    paused: true,
    monitor: true,
    foreground: false,
    verbose: false,
  });
  const run = runDirectory();
  const second = await DaemonClient.connect(run.socket);
  if (!second) throw new XenError('the daemon is gone');
  let reason: number | undefined;
  const died = new Promise<void>((resolve) => {
    second.onEvent = (event) => {
      if (event['death'] === 'shutdown' && typeof event['reason'] === 'number') reason = event['reason'];
      if (event['death'] !== undefined) resolve();
    };
    second.onClosed = resolve;
  });
  await second.call('watchDeaths', { domids: [domid] });
  const unpause = async (): Promise<void> => {
    await client.call('attachConsole', { domid });
    await second.call('unpause', { domid });
  };
  try {
    if (typing) await runConsole(client, unpause, { input: process.stdin, output: process.stdout });
    else await feed(client, unpause);
    const left = reason === undefined && (await stillThere(second, domid));
    if (left) {
      process.stderr.write('\r\nleft the console: the domain is destroyed\r\n');
      await second.call('destroy', { domid });
      return 'left';
    }
    await died;
  } finally {
    second.close();
  }
  return reason ?? 'destroyed';
}

/** What a command that booted a guest exits with; says so when it did not end well. */
export function exitCodeOf(ending: Ending): number {
  if (ending === 'left' || ending === SHUTDOWN_poweroff) return 0;
  const how = ending === 'destroyed' ? 'destruction' : (reasons[ending] ?? `reason ${ending}`);
  process.stderr.write(`the guest ended by ${how}\n`);
  return 1;
}

async function stillThere(client: DaemonClient, domid: number): Promise<boolean> {
  const { domains } = await client.call('list', { domid });
  return domains.some((domain) => !domain.shutdown && !domain.dying);
}

/** Types standard input into the guest's shell once it asks for a command, then powers off. Boot messages go to standard error. */
async function feed(client: DaemonClient, unpause: () => Promise<void>): Promise<void> {
  const filter = new PromptFilter();
  const decoder = new TextDecoder();
  const shell = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const print = atPaceOf(process.stdout, client);
  client.onData = (bytes) => {
    const { messages, output } = filter.push(decoder.decode(bytes, { stream: true }));
    process.stderr.write(messages);
    print(output);
    if (filter.prompted) shell.resolve();
  };
  client.onEvent = (event) => {
    if (event['end'] === true) end.resolve();
  };
  client.onClosed = () => end.resolve();
  await unpause();
  await Promise.race([shell.promise, end.promise]);
  const typed = async (): Promise<void> => {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      if (!client.send(chunk)) await client.whenDrained();
    }
    client.send(Buffer.from(`\n${PRINT_END}; poweroff\n`));
  };
  await Promise.race([typed(), end.promise]);
  await end.promise;
  process.stdout.write(filter.flush());
}
