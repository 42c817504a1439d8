/** What the daemon does to clone a domain. */
import type { JsonObject } from '../config/json.ts';
import type { CreateOptions } from '../domain/managed-domain.ts';
import type { DomainSnapshot } from '../fork/domain-snapshot.ts';
import { snapshotSaved } from '../fork/saved-snapshot.ts';
import { XenError } from '../xen-error.ts';
import type { Call } from './connection.ts';
import type { CloneSummary, MigrationMethods } from './migration-protocol.ts';
import * as read from './parameters.ts';
import { watch, type RequestContext } from './requests.ts';

/** More than a host holds; a mistyped number should not fill it. */
const MOST_CLONES = 1000;

type GoneCall = Pick<Call, 'onGone'>;
type Clones = MigrationMethods['fork']['result'];

export async function fork(context: RequestContext, params: JsonObject, call: GoneCall): Promise<Clones> {
  const wanted = wantedClones(params, call);
  return makeClones(context, await context.manager.snapshot(read.domid(params)), wanted);
}

/** @param restore what fills a domain with what was saved */
export async function forkSaved(
  context: RequestContext,
  params: JsonObject,
  call: GoneCall,
  restore: CreateOptions['restore'],
): Promise<Clones> {
  const wanted = wantedClones(params, call);
  return makeClones(context, await snapshotSaved(context.manager, read.config(params), restore), wanted);
}

interface WantedClones {
  readonly count: number;
  readonly paused: boolean;
  readonly name: string | undefined;
  /** Who asked for them is gone, and wants none. */
  readonly gone: AbortSignal;
}

function wantedClones(params: JsonObject, call: GoneCall): WantedClones {
  const gone = new AbortController();
  call.onGone(() => gone.abort(new XenError('who asked for clones has gone')));
  return {
    gone: gone.signal,
    count: read.count(params, 'count', 1, MOST_CLONES),
    paused: read.flag(params, 'paused'),
    name: params['name'] === undefined ? undefined : read.text(params, 'name'),
  };
}

/** The snapshot is closed. */
async function makeClones(
  context: RequestContext,
  snapshot: DomainSnapshot,
  { count, paused, name, gone }: WantedClones,
): Promise<Clones> {
  const { manager, onError } = context;
  const clones: CloneSummary[] = [];
  try {
    while (clones.length < count) {
      // A clone takes a few milliseconds and nothing in it waits for long: others are served in between, and the end of who asked is heard.
      await new Promise<void>((resolve) => setImmediate(resolve));
      gone.throwIfAborted();
      const called = name === undefined || count === 1 ? name : `${name}-${clones.length + 1}`;
      const domid = await snapshot.fork({ name: called, paused });
      const domain = manager.domain(domid);
      if (domain === undefined) continue;
      clones.push({ domid, name: domain.name });
      watch(context, domain).catch(onError);
    }
    gone.throwIfAborted();
    return { clones };
  } catch (error) {
    if (gone.aborted) await Promise.all(clones.map(({ domid }) => manager.destroy(domid).catch(onError)));
    if (gone.aborted || !(error instanceof XenError) || clones.length === 0) throw error;
    const lines = [...error.lines, `xl: ${clones.length} of ${count} clones were made, and stay`];
    throw new XenError(error.message, { lines, cause: error });
  } finally {
    await snapshot.close();
  }
}
