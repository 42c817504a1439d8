/** What the daemon does to write a domain down and to bring it back. */
import { open, rm, type FileHandle } from 'node:fs/promises';
import type { JsonObject } from '../config/json.ts';
import { endedEarly, type ByteSource } from '../migration/byte-stream.ts';
import { FileSink } from '../migration/file-stream.ts';
import { becomes } from '../migration/save-path.ts';
import {
  afterSave,
  mappedSource,
  restoreFrom,
  saveTo,
  sendTo,
  type MappedSource,
  type MigrationFigures,
  type TransferListener,
} from '../migration/transfer.ts';
import { XenError } from '../xen-error.ts';
import type { Call } from './connection.ts';
import { fork, forkSaved } from './fork-request.ts';
import type { MigrationMethods } from './migration-protocol.ts';
import * as read from './parameters.ts';
import { startDomain, type Handlers, type RequestContext } from './requests.ts';

export const migrationRequests: Handlers<keyof MigrationMethods> = {
  save: (context, params, call) =>
    withFile(read.text(params, 'path'), 'r+', (file) => save(context, params, call, file)),
  restore: (context, params, call) =>
    withSaved(context, params, ({ source, complete }) => restore(context, params, call, source, complete)),
  migrateSend: send,
  giveAway: ({ transit }, params) => nothing(transit.give(read.domid(params))),
  takeBack: async ({ transit }, params) => nothing(await transit.takeBack(read.domid(params))),
  migrateReceive: receive,
  fork,
  forkSaved: (context, params, call) =>
    withSaved(context, params, ({ source, complete }) =>
      forkSaved(context, params, call, restoreFrom(source, telling(call), complete)),
    ),
  startReceived: ({ transit }, params) => nothing(transit.start(read.domid(params), read.flag(params, 'paused'))),
};

function nothing(_: void): Record<never, never> {
  return {};
}

async function save(
  context: RequestContext,
  params: JsonObject,
  call: Call,
  file: FileHandle,
): Promise<Record<never, never>> {
  const after = read.choice(params, 'after', afterSave);
  const sink = new FileSink(file, read.count(params, 'offset', 0, Number.MAX_SAFE_INTEGER));
  const path = read.text(params, 'path');
  const name = params['rename'] === undefined ? undefined : read.text(params, 'rename');
  // Who asks for a saved domain and goes away wants none.
  const gone = new AbortController();
  call.onGone(() => gone.abort(endedEarly()));
  const complete = async (): Promise<void> => {
    await file.datasync();
    gone.signal.throwIfAborted();
    if (name !== undefined) await becomes(path, name);
  };
  try {
    await saveTo(context, read.domid(params), sink, { after, signal: gone.signal, complete }, telling(call));
  } catch (error) {
    if (name !== undefined) await rm(path, { force: true });
    throw error;
  }
  return {};
}

function telling(call: Call): TransferListener {
  return {
    line: (line) => call.event({ line }),
    progress: (done, total, pass) => call.event({ progress: { done, total, pass } }),
  };
}

async function send(context: RequestContext, params: JsonObject, call: Call): Promise<MigrationFigures> {
  const { transit, onError } = context;
  const domid = read.domid(params);
  const gone = new AbortController();
  let isSent = false;
  call.onGone(() => {
    gone.abort(endedEarly());
    // What is not complete yet fails by itself.
    if (isSent) transit.abandoned(domid).catch(onError);
  });
  const figures = await sendTo(context, domid, call.stream(), gone.signal, telling(call));
  isSent = true;
  return figures;
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
  complete?: (domid: number) => void,
): Promise<{ domid: number }> {
  return startDomain(context, params, call, { restore: restoreFrom(source, telling(call), complete) });
}

function withSaved<T>(
  context: RequestContext,
  params: JsonObject,
  use: (mapped: MappedSource) => Promise<T>,
): Promise<T> {
  return withFile(read.text(params, 'path'), 'r', async (file) => {
    const mapped = mappedSource(context, file, read.count(params, 'offset', 0, Number.MAX_SAFE_INTEGER));
    try {
      return await use(mapped);
    } catch (error) {
      mapped.giveUp();
      throw error;
    }
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
