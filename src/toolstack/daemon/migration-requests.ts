/** What the daemon does to write a domain down and to bring it back. */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { StreamError, endedEarly, type ByteSource } from '../migration/byte-stream.ts';
import { FileSink, FileSource } from '../migration/file-stream.ts';
import { restoreDomain } from '../migration/libxc-restore.ts';
import { saveDomain, type SaveOutcome } from '../migration/libxc-save.ts';
import { readLibxlStream, writeLibxlStream } from '../migration/libxl-stream.ts';
import type { MappedImage } from '../migration/mapped-image.ts';
import { suspend } from '../migration/suspend.ts';
import { XenError } from '../xen-error.ts';
import type { Call } from './connection.ts';
import { fork } from './fork-request.ts';
import { afterSave, type MigrationFigures, type MigrationMethods } from './migration-protocol.ts';
import * as read from './parameters.ts';
import { startDomain, type Handlers, type RequestContext } from './requests.ts';
import type { BuiltRings } from '../domain/services.ts';

export const migrationRequests: Handlers<keyof MigrationMethods> = {
  save: (context, params, call) =>
    withFile(read.text(params, 'path'), 'r+', (file) => save(context, params, call, file)),
  restore: (context, params, call) =>
    withFile(read.text(params, 'path'), 'r', async (file) => {
      const image = context.memory.mapImage?.(file.fd);
      const source = new FileSource(file, read.count(params, 'offset', 0, Number.MAX_SAFE_INTEGER), image);
      try {
        return await restore(context, params, call, source, (domid) => keep(context, domid, image));
      } catch (error) {
        image?.giveUp();
        throw error;
      }
    }),
  migrateSend: send,
  giveAway: ({ transit }, params) => nothing(transit.give(read.domid(params))),
  takeBack: async ({ transit }, params) => nothing(await transit.takeBack(read.domid(params))),
  migrateReceive: receive,
  fork,
  startReceived: ({ transit }, params) => nothing(transit.start(read.domid(params), read.flag(params, 'paused'))),
};

/** The file is held for as long as the domain may have pages of it. */
function keep({ manager, transit, onError }: RequestContext, domid: number, image: MappedImage | undefined): void {
  if (image === undefined) return;
  image.settle({ standStill: (work) => transit.standStill(domid, work), onError });
  const stop = manager.onEvent((event) => {
    if (event.domid !== domid || event.kind !== 'destroyed') return;
    stop();
    image.giveUp();
  });
}

function nothing(_: void): Record<never, never> {
  return {};
}

/** How often progress is told: libxc tells of each percent. */
const STEPS = 100;

async function save(
  { manager, hypervisor, clock }: RequestContext,
  params: JsonObject,
  call: Call,
  file: FileHandle,
): Promise<Record<never, never>> {
  const domid = read.domid(params);
  const after = read.choice(params, 'after', afterSave);
  const offset = read.count(params, 'offset', 0, Number.MAX_SAFE_INTEGER);
  const domain = manager.domain(domid);
  if (domain === undefined) throw notSaved(domid === 0 ? 'Invalid argument' : 'No such process');
  const { control } = domain;
  const bound = manager.boundDisk(domain, 'be saved');
  if (bound !== undefined) throw notSaved(bound);
  const path = read.text(params, 'path');
  const name = params['rename'] === undefined ? undefined : read.text(params, 'rename');
  // Who asks for a saved domain and goes away wants none.
  const gone = new AbortController();
  call.onGone(() => gone.abort(endedEarly()));
  call.event({ line: `xc: info: Saving domain ${domid}, type x86 PV` });
  let suspended = false;
  try {
    await suspend(manager, domid, clock);
    suspended = true;
    const sink = new FileSink(file, offset);
    await writeLibxlStream(sink, () =>
      saveDomain(control, sink, {
        xenVersion: hypervisor.version,
        onProgress: progressOf(call),
        signal: gone.signal,
      }),
    );
    // Once the domain is gone the file is all there is of it.
    await file.datasync();
    gone.signal.throwIfAborted();
    if (name !== undefined) await becomes(path, name);
  } catch (error) {
    if (name !== undefined) await rm(path, { force: true });
    if (suspended && domain.destruction === undefined) manager.resume(domid);
    throw error instanceof StreamError || isSystemError(error) ? notSaved(error.message, error) : error;
  }
  if (after === 'pause') manager.pause(domid);
  if (after === 'destroy') await manager.destroy(domid);
  else manager.resume(domid);
  return {};
}

/** For good: the directory is on disk, too. */
async function becomes(path: string, name: string): Promise<void> {
  await rename(path, name);
  const directory = await open(dirname(name), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function progressOf(call: Call): (done: number, total: number, pass: number) => void {
  let told = 0;
  return (done, total, pass) => {
    if (done < told) told = 0;
    if (done < total && done < told + total / STEPS) return;
    told = done;
    call.event({ progress: { done, total, pass } });
  };
}

async function send(
  { manager, hypervisor, clock, transit, memory, onError }: RequestContext,
  params: JsonObject,
  call: Call,
): Promise<MigrationFigures> {
  const domid = read.domid(params);
  const domain = manager.domain(domid);
  if (domain === undefined) throw notSaved(domid === 0 ? 'Invalid argument' : 'No such process');
  const bound = manager.boundDisk(domain, 'move');
  if (bound !== undefined) throw notSaved(bound);
  const stream = call.stream();
  const gone = new AbortController();
  const began = clock.now();
  let stopped = began;
  call.event({ line: `xc: info: Saving domain ${domid}, type x86 PV` });
  const options = {
    xenVersion: hypervisor.version,
    onProgress: progressOf(call),
    signal: gone.signal,
    watchWrites: memory.watchWrites,
    suspend: async () => {
      stopped = clock.now();
      await suspend(manager, domid, clock);
      await transit.suspended(domain);
    },
  };
  let outcome: SaveOutcome | undefined;
  call.onGone(() => {
    gone.abort(endedEarly());
    // What is not complete yet fails by itself.
    if (outcome !== undefined) transit.abandoned(domid).catch(onError);
  });
  try {
    await writeLibxlStream(stream, async () => {
      outcome = await saveDomain(domain.control, stream, options);
    });
    gone.signal.throwIfAborted();
  } catch (error) {
    await transit.takeBack(domid);
    throw error instanceof StreamError ? notSaved(error.message, error) : error;
  }
  return { passes: outcome?.passes ?? 0, pagesSent: outcome?.pagesSent ?? 0, began, stopped };
}

async function receive(context: RequestContext, params: JsonObject, call: Call): Promise<{ domid: number }> {
  const { transit, onError } = context;
  const config = read.config(params);
  const { name } = config.c_info;
  config.c_info.name = transit.incomingName(name);
  const arrived: { domid?: number } = {};
  let isGone = false;
  call.onGone(() => {
    isGone = true;
    if (arrived.domid !== undefined) transit.notGiven(arrived.domid).catch(onError);
  });
  const { domid } = await restore(context, { ...params, config: config as unknown as JsonObject }, call, call.stream());
  arrived.domid = domid;
  transit.arrived(domid, name);
  if (isGone) await transit.notGiven(domid);
  return { domid };
}

async function restore(
  context: RequestContext,
  params: JsonObject,
  call: Call,
  source: ByteSource,
  complete: (domid: number) => void = () => undefined,
): Promise<{ domid: number }> {
  return startDomain(context, params, call, {
    restore: async (control) => {
      let rings: BuiltRings | undefined;
      const onVersion = (major: number, minor: number): void => {
        call.event({ line: `xc: info: Found x86 PV domain from Xen ${major}.${minor}` });
        call.event({ line: 'xc: info: Restoring domain' });
      };
      try {
        await readLibxlStream(source, async () => {
          rings = await restoreDomain(control, source, { onVersion });
        });
      } catch (error) {
        if (error instanceof StreamError || isSystemError(error)) throw notRestored(error.message, error);
        throw error;
      }
      if (rings === undefined) throw notRestored('the saved domain is damaged: it has no memory');
      complete(control.domid);
      call.event({ line: 'xc: info: Restore successful' });
      call.event({ line: `xc: info: XenStore: mfn 0x${rings.storeMfn.toString(16)}, dom 0, evt ${rings.storePort}` });
      call.event({
        line: `xc: info: Console: mfn 0x${rings.consoleMfn.toString(16)}, dom 0, evt ${rings.consolePort}`,
      });
      return rings;
    },
  });
}

async function withFile<T>(path: string, flags: 'r' | 'r+', use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    throw new XenError(`cannot open ${path}: ${String(error instanceof Error ? error.message : error)}`);
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function notSaved(why: string, cause?: unknown): LibxlError {
  const line = libxlLine('libxl__xc_domain_save_done', `saving domain: ${why}`);
  return new LibxlError('FAIL', [`xc: error: Save failed: ${why}`, line], why, cause);
}

function notRestored(why: string, cause?: unknown): LibxlError {
  const line = libxlLine('libxl__xc_domain_restore_done', `restoring domain: ${why}`);
  return new LibxlError('FAIL', [`xc: error: Restore failed: ${why}`, line], why, cause);
}
