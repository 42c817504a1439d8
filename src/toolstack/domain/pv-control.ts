/** Requests to a PV kernel through `control/shutdown` (xen/docs/misc/xenstore-paths.pandoc). */
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import { LibxlError, libxlErrors, libxlLine } from './libxl-error.ts';
import type { Clock } from './services.ts';
import { domainPath } from './xenstore-tree.ts';

export type ControlRequest = 'poweroff' | 'reboot' | 'suspend' | 'halt';

/** How long libxl waits for the kernel. */
const timeoutMs = 60_000;

const pathOf = (domid: number): string => `${domainPath(domid)}/control/shutdown`;

/** The kernel has not taken the request, and will not any more; false: it has. */
export function withdrawn(xs: Xenstore, domid: number, request: ControlRequest): boolean {
  const path = pathOf(domid);
  if (xs.read(path) !== request) return false;
  xs.write(path, '');
  return true;
}

/** Resolves when the kernel has written the node back empty, or the domain has gone (`gone`) instead. */
export async function acknowledged(
  xs: Xenstore,
  domid: number,
  request: ControlRequest,
  clock: Clock,
  gone: AbortSignal,
): Promise<void> {
  const path = pathOf(domid);
  xs.write(path, request);
  const over = new AbortController();
  const end = (): void => over.abort();
  gone.addEventListener('abort', end, { once: true });
  const taken = xs.until(path, (value) => (value === undefined || value === '' ? true : undefined), {
    signal: over.signal,
  });
  const late = clock.sleep(timeoutMs, over.signal).then(() => 'late' as const);
  try {
    const winner = await Promise.race([taken, late]);
    if (winner === 'late') {
      const line = libxlLine('pvcontrol_cb', `guest didn't acknowledge control request: ${libxlErrors.TIMEDOUT}`);
      throw new LibxlError('TIMEDOUT', [line]);
    }
  } catch (error) {
    if (!gone.aborted) throw error;
  } finally {
    gone.removeEventListener('abort', end);
    over.abort();
    await Promise.allSettled([taken, late]);
  }
}
