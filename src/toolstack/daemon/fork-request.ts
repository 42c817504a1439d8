/** What the daemon does to clone a domain. */
import type { JsonObject } from '../config/json.ts';
import { XenError } from '../xen-error.ts';
import type { CloneSummary, MigrationMethods } from './migration-protocol.ts';
import * as read from './parameters.ts';
import { watch, type RequestContext } from './requests.ts';

/** More than a host holds; a mistyped number should not fill it. */
const MOST_CLONES = 1000;

export async function fork(context: RequestContext, params: JsonObject): Promise<MigrationMethods['fork']['result']> {
  const { manager, onError } = context;
  const count = read.count(params, 'count', 1, MOST_CLONES);
  const paused = read.flag(params, 'paused');
  const name = params['name'] === undefined ? undefined : read.text(params, 'name');
  const snapshot = await manager.snapshot(read.domid(params));
  const clones: CloneSummary[] = [];
  try {
    while (clones.length < count) {
      const called = name === undefined || count === 1 ? name : `${name}-${clones.length + 1}`;
      const domid = await snapshot.fork({ name: called, paused });
      const domain = manager.domain(domid);
      if (domain === undefined) continue;
      clones.push({ domid, name: domain.name });
      watch(context, domain).catch(onError);
    }
    return { clones };
  } catch (error) {
    if (!(error instanceof XenError) || clones.length === 0) throw error;
    const lines = [...error.lines, `xl: ${clones.length} of ${count} clones were made, and stay`];
    throw new XenError(error.message, { lines, cause: error });
  } finally {
    await snapshot.close();
  }
}
