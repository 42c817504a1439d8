/** Moving a running guest: to another host of this process, or to `xl migrate-receive` behind any command. At each moment one of both has it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostParts } from '../assembly/assemble-host.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { endedEarly, StreamError, type ByteSink } from '../migration/byte-stream.ts';
import { drained } from '../drained.ts';
import { restoreFrom, sendTo, type MigrationFigures } from '../migration/transfer.ts';
import { messages, PipeSource } from '../xl/migration-handshake.ts';
import { Patience, STALLED_MS } from '../xl/patience.ts';
import { Pipe } from './byte-pipes.ts';
import { XenolithError } from './errors.ts';
import type { Guest } from './guest.ts';
import { readSavedConfig, savedHeader } from './saved-guest.ts';
import { listener, type OnTransferProgress } from './transfer-progress.ts';
import type { WaitOptions } from './wait-options.ts';

/** How a guest is moved. A signal that comes before it runs there leaves it running here. */
export interface MigrateOptions extends WaitOptions {
  /** Milliseconds after which a receiver that says nothing, or takes nothing, counts as gone. Default three minutes; a guest gets one to suspend. */
  readonly patience?: number;
  /** Hears how far it is. */
  readonly onProgress?: OnTransferProgress;
}

/** How a move went. */
export interface MigrationReport {
  /** Passes over its memory. */
  readonly passes: number;
  /** Pages of 4 KiB. */
  readonly pagesSent: number;
  /** Milliseconds, from the beginning to the guest's running there. */
  readonly total: number;
  /** Milliseconds for which the guest stood still. */
  readonly downtime: number;
}

interface MigrateGlue {
  readonly parts: HostParts;
  readonly log: (line: string) => void;
  /** It runs elsewhere: nothing is left of it here. */
  readonly leave: () => Promise<void>;
}

/** A host that a guest moves to. */
export interface Receiver {
  readonly parts: HostParts;
  /** Takes a domain, which is complete and paused, into the host's guests. */
  readonly adopt: (domid: number) => Promise<Guest>;
}

/** How long the receiver's command gets to end by itself. */
const LAST_MS = 2000;

/** The new domain runs there, and nothing is left of it here. What fails before leaves it running here, and nothing there. */
export async function migrateWithin(
  { parts, log, leave }: MigrateGlue,
  domid: number,
  { parts: target, adopt }: Receiver,
  { signal, onProgress }: MigrateOptions,
): Promise<MigrationReport & { readonly guest: Guest }> {
  if (target === parts) throw new XenolithError('INVALID', 'the guest is on that host already');
  const pipe = new Pipe();
  const gone = new AbortController();
  const abort = (): void => gone.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const receiving = receive(target, pipe, log);
  receiving.catch((error: unknown) => {
    const why = error instanceof Error ? error : endedEarly();
    pipe.refuse(why);
    gone.abort(why);
  });
  try {
    let figures: MigrationFigures;
    try {
      await pipe.write([savedHeader(parts, domid)]);
      figures = await sendTo(parts, domid, pipe, gone.signal, listener(log, onProgress));
    } finally {
      pipe.end();
    }
    let domain: ManagedDomain;
    try {
      domain = await receiving;
      signal?.throwIfAborted();
    } catch (error) {
      await parts.transit.takeBack(domid);
      throw error;
    }
    parts.transit.give(domid);
    target.transit.start(domain.domid, true);
    const guest = await adopt(domain.domid);
    await guest.unpause();
    const report = reportOf(figures, parts.clock.now());
    await leave();
    return { ...report, guest };
  } catch (error) {
    const arrived = await receiving.catch(() => undefined);
    if (arrived !== undefined) await target.transit.notGiven(arrived.domid);
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** It is paused, under the name of one that comes. */
async function receive(target: HostParts, pipe: Pipe, log: (line: string) => void): Promise<ManagedDomain> {
  const { manager, transit } = target;
  const config: DomainConfig = await readSavedConfig(pipe);
  const { name } = config.c_info;
  if (manager.domidOf(name) !== undefined)
    throw new XenolithError('NAME_IN_USE', `the host that it moves to has a domain named "${name}" already`);
  config.c_info.name = transit.incomingName(name);
  const domain = await manager.create(config, { restore: restoreFrom(pipe, { line: log }) });
  transit.arrived(domain.domid, name);
  return domain;
}

/** To what `command` starts, in a shell: `ssh host xl migrate-receive`. As `xl migrate`, in each step. */
export async function migrateByCommand(
  { parts, log, leave }: MigrateGlue,
  domid: number,
  command: string,
  { signal, onProgress, patience = STALLED_MS }: MigrateOptions,
): Promise<MigrationReport> {
  const child = spawn('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-LONGEST_WORDS);
    for (const line of text.trimEnd().split('\n')) log(line);
  });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  const ended = once(child, 'close');
  const answers = new PipeSource(child.stdout);
  const gone = new AbortController();
  child.stdin.once('close', () => gone.abort(endedEarly()));
  const abort = (): void => {
    gone.abort(signal?.reason);
    child.kill();
  };
  signal?.addEventListener('abort', abort, { once: true });
  const stalled = (): StreamError => new StreamError(`the receiver has done nothing for ${patience / 1000} s`);
  const taking = new Patience(patience, () => {
    gone.abort(stalled());
    child.stdin.destroy();
  });
  const sink: ByteSink = {
    async write(chunks) {
      for (const chunk of chunks) {
        gone.signal.throwIfAborted();
        if (child.stdin.write(chunk.slice())) continue;
        taking.begin();
        await drained(child.stdin);
        taking.end();
      }
    },
  };
  let suspended = false;
  let given = false;
  try {
    await answers.expect('banner', 'banner');
    // Not before: who logs in by ssh may have to type.
    answers.limit(patience);
    await sink.write([savedHeader(parts, domid)]);
    const figures = await sendTo(parts, domid, sink, gone.signal, listener(log, onProgress));
    suspended = true;
    await answers.expect('ready', 'ready message');
    signal?.throwIfAborted();
    parts.transit.give(domid);
    // From here on the receiver may have started it, so nothing but its word brings it back.
    signal?.removeEventListener('abort', abort);
    given = true;
    child.stdin.write(messages.permission, 'latin1');
    await answers.expect('report', 'success/failure report message');
    const [code = 1] = await answers.read(1);
    if (code !== 0) {
      await answers.expect('permission', 'permission for sender to resume');
      given = false;
      throw new StreamError(`the receiver could not start it (status code ${code})`);
    }
    const report = reportOf(figures, parts.clock.now());
    await leave();
    return report;
  } catch (error) {
    if (suspended && !given) await parts.transit.takeBack(domid);
    signal?.throwIfAborted();
    if (!(error instanceof StreamError)) throw error;
    const why = answers.stalled ? stalled().message : error.message;
    const what = given
      ? 'the receiver was given the guest and has not said whether it runs: look at both ends before one is resumed'
      : why;
    throw new XenolithError('STREAM', what, { lines: [...said.trimEnd().split('\n'), what], cause: error });
  } finally {
    signal?.removeEventListener('abort', abort);
    taking.end();
    child.stdin.end();
    child.stdout.destroy();
    const late = new AbortController();
    await Promise.race([ended, sleep(LAST_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    // One that hangs has nothing left to do.
    if (child.exitCode === null) child.kill();
  }
}

/** Characters of what a receiver says that an error repeats. */
const LONGEST_WORDS = 4096;

function reportOf({ passes, pagesSent, began, stopped }: MigrationFigures, now: number): MigrationReport {
  return { passes, pagesSent, total: now - began, downtime: now - stopped };
}
