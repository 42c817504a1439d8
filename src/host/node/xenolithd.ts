/**
 * The daemon's program. `xl` starts it when it is needed; by hand:
 *
 *   xenolithd             starts it in the background, unless it runs already
 *   xenolithd -F          runs it in the foreground
 *   xenolithd --stop      asks all domains to shut down, destroys those that have not within a minute, and ends it
 *   xenolithd --stop=N    the same within N seconds; 0 destroys them at once
 *   xenolithd --status    tells whether it runs; exit code 1 when it does not
 */
import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { DaemonClient } from '../../toolstack/daemon/client.ts';
import { acquireLock } from '../../toolstack/daemon/lock.ts';
import { prepareRunDirectory } from '../../toolstack/daemon/prepare-run-directory.ts';
import { runDirectory, type RunDirectory } from '../../toolstack/daemon/run-directory.ts';
import { startFile } from '../../toolstack/start-files.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { boundCompiledCode } from './compiled-code.ts';

const usage = 'Usage: xenolithd [-F|--foreground] [--stop[=SECONDS]] [--status]';
/** Debian's xendomains waits five minutes; a service manager kills after a minute and a half. */
const stopSeconds = 60;
/** A daemon may run for months, or be killed: what it has compiled is kept before, when starting is over. */
const KEEP_CODE_MS = 10_000;
/** It takes ten seconds of a processor: a daemon that has lived for so long is none of a test's. */
const BUNDLE_MS = 60_000;
/** The pipe on which who started the daemon waits for its word. */
const handOverFd = 3;

const commands: Readonly<Record<string, (run: RunDirectory) => Promise<number>>> = {
  '': start,
  '-F': (run) => serve(run, () => undefined, 'foreground'),
  '--foreground': (run) => serve(run, () => undefined, 'foreground'),
  '--serve': async (run) => endAtOnce(await serve(run, (word) => void writeSync(handOverFd, `${word}\n`))),
  '--stop': (run) => stop(run, stopSeconds),
  '--status': status,
  '-h': help,
  '--help': help,
};

function help(): Promise<number> {
  console.log(usage);
  return Promise.resolve(0);
}

async function start(run: RunDirectory): Promise<number> {
  const { connectOrStart } = await import('../../toolstack/daemon/start.ts');
  const client = await connectOrStart(run);
  const { pid } = await client.call('hello', {});
  client.close();
  console.log(`xenolithd runs (pid ${pid})`);
  return 0;
}

async function stop(run: RunDirectory, seconds: number): Promise<number> {
  const client = await DaemonClient.connect(run.socket);
  if (client === undefined) {
    console.log('xenolithd does not run');
    return 0;
  }
  const ended = new Promise<void>((resolve) => (client.onClosed = resolve));
  client.onEvent = ({ stopping }) => {
    if (typeof stopping === 'string') console.log(stopping);
  };
  await client.call('stop', { seconds });
  await ended;
  return 0;
}

async function status(run: RunDirectory): Promise<number> {
  const client = await DaemonClient.connect(run.socket);
  if (client === undefined) {
    console.log('xenolithd does not run');
    return 1;
  }
  const { pid, domains } = await client.call('hello', {});
  client.close();
  console.log(`xenolithd runs (pid ${pid}), ${domains} ${domains === 1 ? 'domain' : 'domains'}, ${run.socket}`);
  return 0;
}

/** Resolves when the daemon has ended. `say` tells who waits: `ready`, `running`, or what is wrong. */
async function serve(run: RunDirectory, say: (word: string) => void, where?: 'foreground'): Promise<number> {
  const log = (line: string): void => console.error(`${new Date().toISOString()} ${line}`);
  try {
    prepareRunDirectory(run);
    const lock = await acquireLock(run.path);
    if (lock === undefined) {
      say('running');
      log('another daemon serves this directory already');
      return 1;
    }
    const { createHost } = await import('./hypervisor-host.ts');
    const { startDaemon } = await import('../../toolstack/daemon/daemon.ts');
    const { nodeNetwork } = await import('./net/network-host.ts');
    const { nodeDiskHost } = await import('./disk-files.ts');
    const { mapImage } = await import('./map-image.ts');
    const { readCached } = await import('./page-cache.ts');
    const { watchWrites } = await import('./write-watch.ts');
    const { openPty } = await import('./pty.ts');
    const { autoConfigs, autoFolders } = await import('../../toolstack/config/auto-folder.ts');
    const { readBootLine } = await import('../../toolstack/config/boot-line.ts');
    const commandLine = readBootLine();
    const host = createHost(commandLine === undefined ? {} : { commandLine });
    const devices = host.consoleDevices;
    // The screen of the machine is the terminal that somebody has given to the daemon.
    if (where === 'foreground' && devices.includes('vga')) {
      process.stdout.write(host.readConsole());
      host.onConsoleLine((line) => console.log(line));
    }
    let stopped: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (stopped = resolve));
    const daemon = await startDaemon({
      host,
      run,
      diskHost: nodeDiskHost,
      network: nodeNetwork,
      memory: { mapImage, readCached, watchWrites },
      openPty: () => openPty(log),
      log,
      serialPorts: devices.filter((device) => device !== 'vga'),
      autoConfigs: autoConfigs(autoFolders()),
      onStopped: () => stopped(),
    });
    // The second one is for who does not want to wait.
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asked) void daemon.close().then(stopped);
        else void daemon.stop(stopSeconds * 1000);
        asked = true;
      });
    }
    // As xenconsoled takes it; and a closed terminal is no reason to end other people's domains.
    process.on('SIGHUP', () => daemon.reopenLogs());
    // One service's bug must not take all domains with it.
    process.on('uncaughtException', (error) => log(`bug: ${error.stack ?? error.message}`));
    process.on('unhandledRejection', (reason) =>
      log(`bug: ${reason instanceof Error ? reason.stack : String(reason)}`),
    );
    say('ready');
    setTimeout(() => keepCompiledCode(log), KEEP_CODE_MS).unref();
    if (isFromSources()) setTimeout(bundleForNextTime, BUNDLE_MS).unref();
    await ended;
    log('ended');
    lock.release();
    return 0;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/**
 * Nobody waits for the exit code of a daemon in the background. An orderly exit waits for what V8 compiles in other threads, which may wait for a garbage collection of
 * this one, for ever (nodejs/node#54918): clients would, too, since their connections end with the process.
 */
function endAtOnce(code: number): number {
  if (code === 0) {
    flushCompileCache();
    process.kill(process.pid, 'SIGKILL');
  }
  return code;
}

function keepCompiledCode(log: (line: string) => void): void {
  const folder = getCompileCacheDir();
  if (folder === undefined) return;
  try {
    flushCompileCache();
    boundCompiledCode(folder);
  } catch (error) {
    log(`compiled code in ${folder}: ${String(error)}`);
  }
}

const isFromSources = (): boolean => startFile(new URL('./xenolithd.ts', import.meta.url)).pathname.endsWith('.ts');

/** Sources that have changed since the set-up: the next daemon need not start from them. Where the tools for it are missing, it does. */
function bundleForNextTime(): void {
  const program = fileURLToPath(new URL('../../../scripts/bundle.ts', import.meta.url));
  const child = spawn(process.execPath, [program, '--when-stale'], { stdio: 'ignore', detached: true });
  child.once('error', () => undefined);
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  child.unref();
}

const [argument = '', ...rest] = process.argv.slice(2);
const [, seconds] = /^--stop=(\d{1,5})$/.exec(argument) ?? [];
const named = seconds === undefined ? commands[argument] : (run: RunDirectory) => stop(run, Number(seconds));
const command = rest.length === 0 ? named : undefined;
if (command === undefined) {
  console.error(usage);
  process.exit(2);
}
try {
  process.exit(await command(runDirectory()));
} catch (error) {
  console.error(error instanceof XenError ? `xenolithd: ${error.message}` : error);
  process.exit(1);
}
