/** Raising, masking and looking at a port, whichever ABI the guest uses. All under the domain's lock, from any thread. */
import type { Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { fifoClearPending, fifoIsPending, fifoSetPending, fifoUnmask } from './fifo.ts';
import { ABI_FIFO, PortState, isValid, port as entry } from './ports.ts';
import { twoLevelClearPending, twoLevelIsPending, twoLevelSetPending, twoLevelUnmask } from './two-level.ts';

const isFifo = (domain: Domain): boolean => domain.get('evtchnAbi') === ABI_FIFO;

/** evtchn_port_set_pending: an event for a bound port. */
export function raisePort(domain: Domain, port: Port): void {
  if (isFifo(domain)) fifoSetPending(domain, port);
  else twoLevelSetPending(domain, port);
}

export function unmaskPort(domain: Domain, port: Port): void {
  if (isFifo(domain)) fifoUnmask(domain, port);
  else twoLevelUnmask(domain, port);
}

export function clearPending(domain: Domain, port: Port): void {
  if (isFifo(domain)) fifoClearPending(domain, port);
  else twoLevelClearPending(domain, port);
}

export function isPending(domain: Domain, port: Port): boolean {
  return isFifo(domain) ? fifoIsPending(domain, port) : twoLevelIsPending(domain, port);
}

/** Domain 0 notifies its peer: the port must still be bound to `localPort` there. Takes the lock. */
export function raiseFromDom0(domain: Domain, port: Port, localPort: Port): boolean {
  return domain.locked(() => {
    if (!isValid(domain, port) || entry.state(domain, port) !== PortState.interdomain) return false;
    if (entry.remoteDomid(domain, port) !== 0 || entry.remote(domain, port) !== localPort) return false;
    raisePort(domain, port);
    return true;
  });
}
