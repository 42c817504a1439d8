/** The end of all domains, as Debian's xendomains has it when a host goes down: they are asked to shut down, and destroyed when they have not within a time. */
import type { DomainManager } from './domain-manager.ts';
import { isEnd, type ManagedDomain } from './managed-domain.ts';
import type { Clock } from './services.ts';

export interface StopOptions {
  /** For all of them together; 0: they are not asked. */
  readonly milliseconds: number;
  readonly clock: Clock;
  /** What becomes of each, a line at a time. */
  readonly say: (line: string) => void;
}

/** From now on no domain is made, and none is restarted. Domains that are left are destroyed by who closes the manager. */
export async function stopDomains(manager: DomainManager, { milliseconds, clock, say }: StopOptions): Promise<void> {
  manager.stopping = true;
  if (milliseconds <= 0) {
    for (const domain of manager.domains()) say(`destroying ${told(domain)}`);
    return;
  }
  const over = new AbortController();
  const late = clock.sleep(milliseconds, over.signal).then(
    () => 'late' as const,
    () => 'late' as const,
  );
  const all = manager.domains().map(async (domain) => {
    const { shutdown, paused } = domain.control.info();
    // Neither would ever take the request.
    if (shutdown || paused) {
      say(`destroying ${told(domain)}, which ${shutdown ? 'has ended' : 'is paused'}`);
      return;
    }
    say(`shutting down ${told(domain)}`);
    const ended = endOf(manager, domain);
    // Whether the guest takes notice or not, the end is what counts.
    void manager.request(domain.domid, 'poweroff').catch(() => undefined);
    if ((await Promise.race([ended, late])) === 'late')
      say(`${told(domain)} has not shut down in ${milliseconds / 1000} s: destroying it`);
  });
  await Promise.all(all);
  over.abort();
}

function told({ name, domid }: ManagedDomain): string {
  return `${name} (domain ${domid})`;
}

function endOf(manager: DomainManager, { domid }: ManagedDomain): Promise<'ended'> {
  return new Promise((resolve) => {
    const stop = manager.onEvent((event) => {
      if (event.domid !== domid || !isEnd(event)) return;
      stop();
      resolve('ended');
    });
  });
}
