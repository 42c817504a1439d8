/** Binding and closing of ports, in any thread: the hypercall and the control interface meet here. */
import { Errno } from '../../abi/errno.ts';
import { EVTCHN_FIFO_PRIORITY_DEFAULT } from '../../abi/event-channel.ts';
import type { DomId, Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { VcpuState } from '../state.ts';
import { ABI_2LEVEL, ABI_FIFO, PortState, allocate, isValid, port as entry } from './ports.ts';
import { clearPending, raisePort } from './raise.ts';
import { isPerVcpuVirq, virqSlot } from './virq.ts';
import { MAX_EVENT_ARRAY_PAGES, WORDS_PER_PAGE, addArrayPage, arrayPage } from './fifo-words.ts';
import { twoLevelIsPending } from './two-level.ts';

/** A port that `remoteDomid` may bind to; the port or -ENOSPC. */
export function allocUnbound(domain: Domain, remoteDomid: DomId): Port | Errno {
  return domain.locked(() => {
    const port = allocate(domain, PortState.unbound, 0, remoteDomid, 0);
    if (port > 0) entry.setPriority(domain, port, EVTCHN_FIFO_PRIORITY_DEFAULT);
    return port;
  });
}

/** Domain 0 binds its `localPort` to a port that was reserved for it; 0 or -EINVAL. */
export function bindFromDom0(domain: Domain, port: Port, localPort: Port): Errno | 0 {
  return domain.locked(() => {
    if (!isValid(domain, port)) return Errno.EINVAL;
    if (entry.state(domain, port) !== PortState.unbound || entry.remoteDomid(domain, port) !== 0) return Errno.EINVAL;
    entry.setState(domain, port, PortState.interdomain);
    entry.setRemote(domain, port, 0, localPort);
    return 0;
  });
}

/** Domain 0 closes its end: ours is unbound again. */
export function unbindFromDom0(domain: Domain, port: Port, localPort: Port): void {
  domain.locked(() => {
    if (!isValid(domain, port) || entry.state(domain, port) !== PortState.interdomain) return;
    if (entry.remoteDomid(domain, port) !== 0 || entry.remote(domain, port) !== localPort) return;
    entry.setState(domain, port, PortState.unbound);
    entry.setRemote(domain, port, 0, 0);
  });
}

/** Both ends in one domain; the local port is pending at once. Under the lock. */
export function bindLoopback(domain: Domain, remotePort: Port): Port | Errno {
  const local = allocate(domain, PortState.interdomain, 0, domain.domid, remotePort);
  if (local < 0) return local;
  if (
    !isValid(domain, remotePort) ||
    entry.state(domain, remotePort) !== PortState.unbound ||
    entry.remoteDomid(domain, remotePort) !== domain.domid
  ) {
    free(domain, local);
    return Errno.EINVAL;
  }
  entry.setState(domain, remotePort, PortState.interdomain);
  entry.setRemote(domain, remotePort, domain.domid, local);
  entry.setPriority(domain, local, EVTCHN_FIFO_PRIORITY_DEFAULT);
  // The remote side may have been notified before anybody was bound to it (event_channel.h).
  raisePort(domain, local);
  return local;
}

/** EVTCHNOP_close. Under the lock. A peer in this domain becomes unbound; one in domain 0 finds out when it notifies. */
export function closePort(domain: Domain, port: Port): Errno | 0 {
  if (!isValid(domain, port)) return Errno.EINVAL;
  const remote = entry.remote(domain, port);
  switch (entry.state(domain, port)) {
    case PortState.free:
      return Errno.EINVAL;
    case PortState.virq:
      domain.u32[virqSlot(domain, isPerVcpuVirq(remote) ? entry.vcpu(domain, port) : 0, remote)] = 0;
      break;
    case PortState.interdomain:
      if (entry.remoteDomid(domain, port) === domain.domid && remote !== port && isValid(domain, remote)) {
        entry.setState(domain, remote, PortState.unbound);
        entry.setRemote(domain, remote, domain.domid, 0);
      }
      break;
    default:
      break;
  }
  clearPending(domain, port);
  free(domain, port);
  return 0;
}

function free(domain: Domain, port: Port): void {
  entry.setState(domain, port, PortState.free);
  entry.setVcpu(domain, port, 0);
  entry.setRemote(domain, port, 0, 0);
}

/** Switches to the FIFO ABI: events that are pending now come with it. Under the lock. */
export function switchToFifo(domain: Domain): void {
  const last = domain.get('maxEvtchnPort');
  for (let port = 1; port <= last; port++) {
    entry.setHeld(domain, port, entry.state(domain, port) !== PortState.free && twoLevelIsPending(domain, port));
    entry.setPriority(domain, port, EVTCHN_FIFO_PRIORITY_DEFAULT);
    entry.setLast(domain, port, 0, 0);
  }
  domain.set('fifoPages', 0);
  domain.set('evtchnAbi', ABI_FIFO);
}

/** The next 1024 event words; events that waited for their page are raised. Under the lock. */
export function expandArray(domain: Domain, mfn: number): Errno | 0 {
  const page = domain.get('fifoPages');
  if (page >= MAX_EVENT_ARRAY_PAGES) return Errno.ENOSPC;
  addArrayPage(domain, mfn);
  const last = Math.min((page + 1) * WORDS_PER_PAGE - 1, domain.get('maxEvtchnPort'));
  for (let port = Math.max(1, page * WORDS_PER_PAGE); port <= last; port++) {
    if (!entry.held(domain, port)) continue;
    entry.setHeld(domain, port, false);
    if (entry.state(domain, port) !== PortState.free) raisePort(domain, port);
  }
  return 0;
}

/** EVTCHNOP_reset. Under the lock; gives back the guest's pages through `putWritable`. */
export function resetChannels(domain: Domain, putWritable: (mfn: number) => void): void {
  const last = domain.get('maxEvtchnPort');
  for (let port = 1; port <= last; port++) {
    if (entry.state(domain, port) !== PortState.free) closePort(domain, port);
    entry.setHeld(domain, port, false);
    entry.setLast(domain, port, 0, 0);
  }
  if (domain.get('evtchnAbi') === ABI_2LEVEL) return;
  for (let page = 0; page < domain.get('fifoPages'); page++) putWritable(arrayPage(domain, page));
  domain.set('fifoPages', 0);
  domain.set('evtchnAbi', ABI_2LEVEL);
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    const at = domain.vcpuAt(vcpu);
    const control = domain.u32[(at + VcpuState.at.fifoControlAt) >>> 2] ?? 0;
    if (control !== 0) putWritable(Math.floor((control - domain.layout.framesAt) / 4096));
    domain.u32[(at + VcpuState.at.fifoControlAt) >>> 2] = 0;
    domain.u32.fill(0, (at + VcpuState.at.fifoTails) >>> 2, ((at + VcpuState.at.fifoTails) >>> 2) + 16);
  }
}
