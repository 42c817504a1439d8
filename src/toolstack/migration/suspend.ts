/** Xen's suspend protocol, the toolstack's side: the guest is asked through xenstore and stops itself (libxl_dom_suspend.c). */
import { shutdownReasons } from '../../hypervisor/control.ts';
import { isEnd, type DomainManager } from '../domain/domain-manager.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import type { Clock } from '../domain/services.ts';

/** How long libxl gives a guest that has acknowledged. */
const TIMEOUT_MS = 60_000;

/** Resolves when the domain has shut down with reason suspend. Throws LibxlError. */
export async function suspend(manager: DomainManager, domid: number, clock: Clock): Promise<void> {
  const over = new AbortController();
  let stop = (): void => undefined;
  const ended = new Promise<number>((resolve, reject) => {
    stop = manager.onEvent((event) => {
      if (event.domid !== domid || !isEnd(event)) return;
      if (event.kind === 'destroyed') reject(failed(domid, 'guest was destroyed'));
      else resolve(event.reason);
    });
  });
  ended.catch(() => undefined);
  try {
    await manager.request(domid, 'suspend');
    const late = clock.sleep(TIMEOUT_MS, over.signal).then(() => 'late' as const);
    late.catch(() => undefined);
    const reason = await Promise.race([ended, late]);
    if (reason === 'late') throw failed(domid, 'guest did not suspend, timed out');
    if (reason !== shutdownReasons.suspend)
      throw failed(domid, 'guest we were suspending has shut down with unexpected reason code');
  } finally {
    over.abort();
    stop();
  }
}

function failed(domid: number, what: string): LibxlError {
  return new LibxlError('FAIL', [libxlLine('domain_suspend_common_failed', `Domain ${domid}:${what}`)]);
}
