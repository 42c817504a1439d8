/** Starts the daemon in the background when none runs, and waits until it serves. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startFile } from '../start-files.ts';
import { XenError } from '../xen-error.ts';
import { DaemonClient } from './client.ts';
import { prepareRunDirectory } from './prepare-run-directory.ts';
import type { RunDirectory } from './run-directory.ts';

/** The room that knows where it runs has the program; it is started, never imported. */
const program = new URL('../../host/node/xenolithd.ts', import.meta.url);
/** A daemon that has not said within this time whether it serves is broken. */
const startTimeoutMs = 60_000;
const retryMs = 20;
/** After that one that holds the lock and does not serve is asked after anew. */
const holderMs = 2000;

/** A connection to the daemon that runs for this directory, or to one that is started now. */
export async function connectOrStart(run: RunDirectory): Promise<DaemonClient> {
  const running = await DaemonClient.connect(run.socket);
  if (running !== undefined) return running.requireVersion();
  prepareRunDirectory(run);
  for (const end = Date.now() + startTimeoutMs; Date.now() < end;) {
    const outcome = await spawnDaemon(run);
    if (outcome !== 'ready' && outcome !== 'running') {
      throw new XenError(`the daemon did not start: ${outcome}`, { hint: `see ${logPath(run)}` });
    }
    // Another command may have won the race; its daemon serves in a moment. One that was killed holds the lock until it is gone.
    const client = await connectBefore(run, Math.min(end, Date.now() + holderMs));
    if (client !== undefined) return client.requireVersion();
  }
  throw new XenError('the daemon holds its lock but does not serve', { hint: `see ${logPath(run)}` });
}

async function connectBefore(run: RunDirectory, end: number): Promise<DaemonClient | undefined> {
  for (;;) {
    const client = await DaemonClient.connect(run.socket);
    if (client !== undefined || Date.now() >= end) return client;
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

export function logPath(run: RunDirectory): string {
  return join(run.logs, 'xenolithd.log');
}

/**
 * For glibc's allocator (mallopt(3)), others ignore it: V8 compiles on several threads, and by default each keeps what it freed in an arena of its own, which
 * came to 80 MB for a guest's boot.
 */
const allocator = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' } as const;

/**
 * For V8. Code of its baseline compiler counts for each function whom it calls, so that the optimising one can take the callee in; every function begins with a call of
 * its own for that, which in flat code was 2 to 6 % of a vCPU's time. Generated code ends in tail calls, by a table or to another module: nothing is ever taken in.
 * They have to be there when the process starts, as Node has WebAssembly of its own.
 */
const engine = ['--no-wasm-inlining', '--no-wasm-inlining-call-indirect'] as const;

/** What the daemon wrote on its hand-over pipe: `ready`, `running`, or why it could not start. */
function spawnDaemon(run: RunDirectory): Promise<string> {
  const log = openSync(logPath(run), 'a', 0o600);
  const child = spawn(process.execPath, [...engine, fileURLToPath(startFile(program)), '--serve'], {
    cwd: '/',
    detached: true,
    env: { ...allocator, ...process.env, XENOLITH_RUN_DIR: run.path },
    stdio: ['ignore', log, log, 'pipe'],
  });
  closeSync(log);
  const pipe = child.stdio[3];
  return new Promise((resolve) => {
    let said = '';
    const timer = setTimeout(() => finish('it did not answer in time'), startTimeoutMs);
    const finish = (outcome: string): void => {
      clearTimeout(timer);
      pipe?.destroy();
      child.removeAllListeners();
      child.unref();
      resolve(outcome);
    };
    pipe?.on('data', (bytes: Buffer) => {
      said += bytes.toString('utf8');
      if (said.includes('\n')) finish(said.trim());
    });
    child.once('error', (error) => finish(error.message));
    child.once('exit', (code, signal) => finish(`it ended with ${signal ?? `code ${code ?? '?'}`}`));
  });
}
