/** Xen's suspend protocol, the toolstack's side: the guest is asked through xenstore and stops itself (libxl_dom_suspend.c). */
import { shutdownReasons } from '../../hypervisor/control.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import { LibxlError, libxlErrors, libxlLine } from '../domain/libxl-error.ts';
import { isEnd, type ManagedDomain } from '../domain/managed-domain.ts';
import { isOccupied } from '../domain/occupation.ts';
import type { Clock } from '../domain/services.ts';

/** How long libxl gives a guest that has acknowledged. */
const TIMEOUT_MS = 60_000;

/**
 * Resolves when the domain has shut down with reason suspend. Throws LibxlError, or the signal's reason; the guest then goes on, whenever it does suspend.
 */
export async function suspend(
  manager: DomainManager,
  domain: ManagedDomain,
  clock: Clock,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const { domid } = domain;
  const over = new AbortController();
  let stop = (): void => undefined;
  const ended = new Promise<number>((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { signal: over.signal });
    stop = manager.onEvent((event) => {
      if (event.domid !== domid || !isEnd(event)) return;
      if (event.kind === 'destroyed') reject(failed(domid, 'guest was destroyed'));
      else resolve(event.reason);
    });
  });
  ended.catch(() => undefined);
  try {
    await Promise.race([taken(manager, domid, over.signal), ended]);
    const late = clock.sleep(TIMEOUT_MS, over.signal).then(() => 'late' as const);
    late.catch(() => undefined);
    const reason = await Promise.race([ended, late]);
    if (reason === 'late') {
      resumeLater(manager, domain);
      throw failed(domid, 'guest did not suspend, timed out');
    }
    if (reason !== shutdownReasons.suspend)
      throw failed(domid, 'guest we were suspending has shut down with unexpected reason code');
  } catch (error) {
    if (signal?.aborted === true && !manager.withdraw(domid, 'suspend')) resumeLater(manager, domain);
    throw error;
  } finally {
    over.abort();
    stop();
  }
}

/** Resolves when the guest's kernel has taken the request. */
async function taken(manager: DomainManager, domid: number, over: AbortSignal): Promise<void> {
  try {
    await manager.request(domid, 'suspend');
  } catch (error) {
    // Another's request may stand there by now.
    if (over.aborted || !(error instanceof LibxlError) || error.rc !== libxlErrors.TIMEDOUT) throw error;
    // It may have taken the request since, and then suspends.
    if (manager.withdraw(domid, 'suspend'))
      throw failed(domid, "guest didn't acknowledge suspend, cancelling request", error);
  }
}

/** Nobody waits for it any more when it suspends after all, and it would stand still for ever. */
function resumeLater(manager: DomainManager, domain: ManagedDomain): void {
  const stop = manager.onEvent((event) => {
    if (event.domid !== domain.domid || event.kind === 'paused' || event.kind === 'unpaused') return;
    stop();
    if (event.kind !== 'shutdown' || event.reason !== shutdownReasons.suspend) return;
    // Once all others have heard of it. Who has asked anew meanwhile takes it for an answer.
    setImmediate(() => {
      if (domain.destruction === undefined && !isOccupied(domain) && domain.announced) manager.resume(domain.domid);
    });
  });
}

function failed(domid: number, what: string, cause?: unknown): LibxlError {
  const where = cause === undefined ? 'domain_suspend_common_failed' : 'domain_suspend_common_pvcontrol_suspending';
  return new LibxlError('FAIL', [libxlLine(where, `Domain ${domid}:${what}`)], what, cause);
}
