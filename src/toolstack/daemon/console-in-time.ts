/** A console that may not be there yet: somebody looks for it while its domain is being made, or made again. */
import type { DomainConsole } from '../../dom0/console/index.ts';
import { domainPath } from '../domain/xenstore-tree.ts';
import type { RequestContext } from './requests.ts';

/** As xenconsole waits for a terminal (tools/console/client/main.c, get_pty_fd). */
const PATIENCE_MS = 5000;

/** Undefined: there was none in five seconds. */
export async function consoleInTime(
  { console, xenstore, clock }: Pick<RequestContext, 'console' | 'xenstore' | 'clock'>,
  domid: number,
  num: number,
): Promise<DomainConsole | undefined> {
  const there = console(domid, num);
  if (there !== undefined) return there;
  const over = new AbortController();
  const path = `${domainPath(domid)}/${num === 0 ? 'console' : `device/console/${num}`}`;
  const found = xenstore.until(path, () => console(domid, num), { signal: over.signal });
  const late = clock.sleep(PATIENCE_MS, over.signal).then(() => undefined);
  try {
    return await Promise.race([found, late]);
  } finally {
    over.abort();
    await Promise.allSettled([found, late]);
  }
}
