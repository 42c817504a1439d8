/**
 * `npm start`: boots a Debian kernel as a PV domain and connects it to this terminal, until the guest powers off. With no terminal on standard input its
 * lines are typed into the guest's shell, and the guest is powered off at their end.
 */
import { parseArgs } from 'node:util';
import { parseConfig } from '../../toolstack/config/parse-config.ts';
import type { JsonObject } from '../../toolstack/config/json.ts';
import { DaemonClient } from '../../toolstack/daemon/client.ts';
import { startDaemon } from '../../toolstack/daemon/daemon.ts';
import { acquireLock } from '../../toolstack/daemon/lock.ts';
import { prepareRunDirectory, runDirectory } from '../../toolstack/daemon/run-directory.ts';
import { DEFAULT_KERNEL_PACKAGE, guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { progressPrinter } from '../../toolstack/guest-files/progress-printer.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { runConsole } from '../../toolstack/xl/console-session.ts';
import { nodeDiskHost } from './disk-files.ts';
import { createHost } from './hypervisor-host.ts';
import { nodeNetwork } from './net/network-host.ts';
import { PRINT_END, PromptFilter } from './shell-feed.ts';

const usage = `Usage: npm start [-- OPTIONS]

Boots a Debian kernel as a PV domain, with a shell on the console. "poweroff" in the
guest ends it; Ctrl-] leaves and destroys it. Commands can come from a pipe:

  printf 'uname -a\\ncat /sys/hypervisor/type\\n' | npm start

Meanwhile \`bin/xl list\`, \`bin/xl dmesg\` and the like work in another terminal.

  --package NAME   Debian kernel package (default ${DEFAULT_KERNEL_PACKAGE})
  --kernel FILE    kernel to boot instead (with --ramdisk)
  --ramdisk FILE   its initramfs
  --memory MIB     memory of the guest (default 256)
  --append TEXT    added to the kernel's command line
  --name NAME      name of the domain (default demo)
  -h, --help       this text
`;

/** Shutdown reason of a guest that powered off (xen/include/public/sched.h). */
const SHUTDOWN_poweroff = 0;
const reasons = ['poweroff', 'reboot', 'suspend', 'crash', 'watchdog', 'soft reset'];

interface Options {
  readonly package: string;
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  readonly memory: string;
  readonly append: string;
  readonly name: string;
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      options: {
        package: { ...text, default: DEFAULT_KERNEL_PACKAGE },
        kernel: text,
        ramdisk: text,
        memory: { ...text, default: '256' },
        append: { ...text, default: '' },
        name: { ...text, default: 'demo' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return undefined;
    const { kernel, ramdisk, memory, append, name } = values;
    return { package: values.package, kernel, ramdisk, memory, append, name };
  } catch (error) {
    throw new XenError(error instanceof Error ? error.message : String(error), {
      hint: 'npm start -- --help',
      exitCode: 2,
    });
  }
}

/** Quoted as xl.cfg wants it. */
const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

async function filesOf(options: Options): Promise<{ kernel: string; ramdisk: string | undefined }> {
  if (options.kernel !== undefined) return { kernel: options.kernel, ramdisk: options.ramdisk };
  const progress = progressPrinter(process.stderr);
  const { kernel, ramdisk } = await guestFiles({ package: options.package, onProgress: progress.report });
  progress.end();
  return { kernel, ramdisk: options.ramdisk ?? ramdisk };
}

/** A client of the daemon that runs already, or of one in this process, which ends with it. */
async function toolstack(): Promise<{ client: DaemonClient; close: () => Promise<void> }> {
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

async function main(): Promise<number> {
  const options = readOptions();
  if (!options) {
    process.stdout.write(usage);
    return 0;
  }
  const typing = process.stdin.isTTY === true;
  const files = await filesOf(options);
  const cmdline = ['console=hvc0', ...(typing ? [] : [PLAIN_CONSOLE]), options.append].filter(Boolean).join(' ');
  const lines = [
    `name = ${quoted(options.name)}`,
    'type = "pv"',
    `kernel = ${quoted(files.kernel)}`,
    ...(files.ramdisk === undefined ? [] : [`ramdisk = ${quoted(files.ramdisk)}`]),
    `memory = ${options.memory}`,
    `cmdline = ${quoted(cmdline)}`,
    'on_reboot = "destroy"',
    'on_crash = "destroy"',
  ];
  const problems: string[] = [];
  const { config } = parseConfig(lines.join('\n') + '\n', 'npm start', { cpus: 1 }, (line) => problems.push(line));
  if (problems.length > 0) process.stderr.write(problems.join('\n') + '\n');
  const { client, close } = await toolstack();
  try {
    return await boot(client, config as unknown as JsonObject, typing);
  } finally {
    await close();
  }
}

async function boot(client: DaemonClient, config: JsonObject, typing: boolean): Promise<number> {
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
      return 0;
    }
    await died;
  } finally {
    second.close();
  }
  if (reason === SHUTDOWN_poweroff) return 0;
  process.stderr.write(
    `the guest ended by ${reason === undefined ? 'destruction' : (reasons[reason] ?? `reason ${reason}`)}\n`,
  );
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
  client.onData = (bytes) => {
    const { messages, output } = filter.push(decoder.decode(bytes, { stream: true }));
    process.stderr.write(messages);
    if (!process.stdout.write(output)) {
      client.pause();
      process.stdout.once('drain', () => client.resume());
    }
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

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof XenError)) throw error;
  process.stderr.write(`${error.lines.join('\n')}\n${error.hint === undefined ? '' : `${error.hint}\n`}`);
  process.exitCode = error.exitCode;
}
// Standard input may keep the process alive.
process.stdin.destroy();
