/** HYPERVISOR_event_channel_op, number 32. After xen/include/public/event_channel.h and xen/common/event_channel.c. */
import {
  EVTCHNSTAT,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EVTCHN_FIFO_PRIORITY_MIN,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindIpi,
  EvtchnBindPirq,
  EvtchnBindVcpu,
  EvtchnBindVirq,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnFifoControlBlock,
  EvtchnInitControl,
  EvtchnReset,
  EvtchnSetPriority,
  EvtchnStatus,
} from '../../abi/event-channel.ts';
import { Errno } from '../../abi/errno.ts';
import type { DomId, Port } from '../../abi/numbers.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { OpTable } from '../hypercall.ts';
import { full, op, partial, rawOp } from '../hypercall.ts';
import { VcpuState } from '../state.ts';
import type { Vcpu } from '../vcpu.ts';
import { fifoIsPending, fifoSetPending } from './fifo.ts';
import { allocUnbound, bindLoopback, closePort, expandArray, resetChannels, switchToFifo } from './lifecycle.ts';
import { ABI_FIFO, PortState, allocate, isValid, port as entry } from './ports.ts';
import { raisePort, unmaskPort } from './raise.ts';
import { NR_VIRQS, isPerVcpuVirq, virqSlot } from './virq.ts';

export const eventChannelOps = {
  bind_interdomain: op({
    nr: 0,
    arg: EvtchnBindInterdomain,
    support: partial('only ports of the calling domain can be bound to'),
    run: bindInterdomain,
  }),
  bind_virq: op({ nr: 1, arg: EvtchnBindVirq, support: full, run: (vcpu, a) => bindVirq(vcpu, a.virq, a.vcpu) }),
  // No domain has physical interrupts: what an ordinary domain gets from Xen too.
  bind_pirq: op({ nr: 2, arg: EvtchnBindPirq, support: full, run: () => Errno.EPERM }),
  close: op({
    nr: 3,
    arg: EvtchnClose,
    support: full,
    run: (vcpu, a) => vcpu.domain.locked(() => closePort(vcpu.domain, a.port)),
  }),
  send: rawOp({ nr: 4, support: full, run: send }),
  status: op({ nr: 5, arg: EvtchnStatus, support: full, run: (vcpu, a) => status(vcpu, a.dom, a.port) }),
  alloc_unbound: op({
    nr: 6,
    arg: EvtchnAllocUnbound,
    support: full,
    run: (vcpu, a) => alloc(vcpu, a.dom, a.remote_dom),
  }),
  bind_ipi: op({ nr: 7, arg: EvtchnBindIpi, support: full, run: (vcpu, a) => bindIpi(vcpu, a.vcpu) }),
  bind_vcpu: op({ nr: 8, arg: EvtchnBindVcpu, support: full, run: (vcpu, a) => bindVcpu(vcpu, a.port, a.vcpu) }),
  unmask: rawOp({ nr: 9, support: full, run: unmask }),
  reset: op({ nr: 10, arg: EvtchnReset, support: full, run: (vcpu, a) => reset(vcpu, a.dom) }),
  init_control: op({
    nr: 11,
    arg: EvtchnInitControl,
    support: full,
    run: (vcpu, a) => initControl(vcpu, a.control_gfn, a.offset, a.vcpu),
  }),
  expand_array: op({ nr: 12, arg: EvtchnExpandArray, support: full, run: (vcpu, a) => expand(vcpu, a.array_gfn) }),
  set_priority: op({
    nr: 13,
    arg: EvtchnSetPriority,
    support: full,
    run: (vcpu, a) => setPriority(vcpu, a.port, a.priority),
  }),
} satisfies OpTable;

/** An interdomain port's event goes to the peer, an IPI's to the domain itself; an unbound port swallows it. */
function send(vcpu: Vcpu, va: number): number {
  const { domain } = vcpu;
  const port = vcpu.guest.readU32(va);
  if (port === undefined) return Errno.EFAULT;
  if (!isValid(domain, port)) return Errno.EINVAL;
  let peer: Port | undefined;
  domain.lock();
  try {
    switch (entry.state(domain, port)) {
      case PortState.interdomain:
        if (entry.remoteDomid(domain, port) === domain.domid) raisePort(domain, entry.remote(domain, port));
        else peer = entry.remote(domain, port);
        break;
      case PortState.ipi:
        raisePort(domain, port);
        break;
      case PortState.unbound:
        break;
      default:
        return Errno.EINVAL;
    }
  } finally {
    domain.unlock();
  }
  // Not under the lock: domain 0 wakes up at once and wants it, perhaps on the very processor that this thread loses to it. The
  // port may have been closed since; an event for nobody does no harm (Dom0Ports.#allocate).
  if (peer !== undefined) vcpu.glue.notifyDom0(peer);
  return 0;
}

function unmask(vcpu: Vcpu, va: number): number {
  const { domain } = vcpu;
  const port = vcpu.guest.readU32(va);
  if (port === undefined) return Errno.EFAULT;
  if (!isValid(domain, port)) return Errno.EINVAL;
  domain.locked(() => unmaskPort(domain, port));
  return 0;
}

/** The domain that an operation names: only the caller itself is within an unprivileged domain's reach. */
function refuseOther(vcpu: Vcpu, dom: DomId): Errno | 0 {
  return dom === DOMID_SELF || dom === vcpu.domain.domid ? 0 : Errno.EPERM;
}

function bindInterdomain(vcpu: Vcpu, a: { remote_dom: DomId; remote_port: Port }): number | { local_port: Port } {
  const { domain } = vcpu;
  // Domain 0 binds to its guests and keeps no port unbound for them; other domains are not there for this one.
  if (a.remote_dom === 0) return Errno.EINVAL;
  if (a.remote_dom !== DOMID_SELF && a.remote_dom !== domain.domid) return Errno.ESRCH;
  const port = domain.locked(() => bindLoopback(domain, a.remote_port));
  return port < 0 ? port : { local_port: port };
}

function alloc(vcpu: Vcpu, dom: DomId, remote: DomId): number | { port: Port } {
  const refused = refuseOther(vcpu, dom);
  if (refused !== 0) return refused;
  const port = allocUnbound(vcpu.domain, remote === DOMID_SELF ? vcpu.domain.domid : remote);
  return port < 0 ? port : { port };
}

function bindVirq(vcpu: Vcpu, virq: number, target: number): number | { port: Port } {
  const { domain } = vcpu;
  if (virq >= NR_VIRQS) return Errno.EINVAL;
  if (!isPerVcpuVirq(virq) && target !== 0) return Errno.EINVAL;
  if (!domain.hasVcpu(target)) return Errno.ENOENT;
  return domain.locked(() => {
    const slot = virqSlot(domain, target, virq);
    if (domain.u32[slot] !== 0) return Errno.EEXIST;
    const port = allocate(domain, PortState.virq, target, 0, virq);
    if (port < 0) return port;
    entry.setPriority(domain, port, EVTCHN_FIFO_PRIORITY_DEFAULT);
    domain.u32[slot] = port;
    return { port };
  });
}

function bindIpi(vcpu: Vcpu, target: number): number | { port: Port } {
  const { domain } = vcpu;
  if (!domain.hasVcpu(target)) return Errno.ENOENT;
  return domain.locked(() => {
    const port = allocate(domain, PortState.ipi, target, 0, 0);
    if (port < 0) return port;
    entry.setPriority(domain, port, EVTCHN_FIFO_PRIORITY_DEFAULT);
    return { port };
  });
}

function bindVcpu(vcpu: Vcpu, port: Port, target: number): number {
  const { domain } = vcpu;
  if (!domain.hasVcpu(target)) return Errno.ENOENT;
  if (!isValid(domain, port)) return Errno.EINVAL;
  return domain.locked(() => {
    const state = entry.state(domain, port);
    const movable =
      state === PortState.unbound ||
      state === PortState.interdomain ||
      (state === PortState.virq && !isPerVcpuVirq(entry.remote(domain, port)));
    if (!movable) return Errno.EINVAL;
    entry.setVcpu(domain, port, target);
    return 0;
  });
}

function status(
  vcpu: Vcpu,
  dom: DomId,
  port: Port,
): number | { status: number; vcpu: number; u?: number; interdomain_port?: Port } {
  const { domain } = vcpu;
  const refused = refuseOther(vcpu, dom);
  if (refused !== 0) return refused;
  if (!isValid(domain, port)) return Errno.EINVAL;
  return domain.locked(() => {
    const notified = { vcpu: entry.vcpu(domain, port) };
    const remote = entry.remote(domain, port);
    switch (entry.state(domain, port)) {
      case PortState.unbound:
        return { ...notified, status: EVTCHNSTAT.unbound, u: entry.remoteDomid(domain, port) };
      case PortState.interdomain:
        return {
          ...notified,
          status: EVTCHNSTAT.interdomain,
          u: entry.remoteDomid(domain, port),
          interdomain_port: remote,
        };
      case PortState.virq:
        return { ...notified, status: EVTCHNSTAT.virq, u: remote };
      case PortState.ipi:
        return { ...notified, status: EVTCHNSTAT.ipi };
      default:
        return { ...notified, status: EVTCHNSTAT.closed };
    }
  });
}

function reset(vcpu: Vcpu, dom: DomId): number {
  const { domain } = vcpu;
  const refused = refuseOther(vcpu, dom);
  if (refused !== 0) return refused;
  domain.locked(() => resetChannels(domain, (mfn) => vcpu.platform.kind.putWritable(domain, mfn)));
  return 0;
}

function initControl(vcpu: Vcpu, gfn: number, offset: number, target: number): number | { link_bits: number } {
  const { domain } = vcpu;
  if (!domain.hasVcpu(target)) return Errno.ENOENT;
  if (offset > PAGE_SIZE - EvtchnFifoControlBlock.size || offset % 8 !== 0) return Errno.EINVAL;
  return domain.locked(() => {
    const slot = (domain.vcpuAt(target) + VcpuState.at.fifoControlAt) >>> 2;
    const isFifo = domain.get('evtchnAbi') === ABI_FIFO;
    if (isFifo && domain.u32[slot] !== 0) return Errno.EINVAL;
    if (!vcpu.platform.kind.getWritable(domain, gfn)) return Errno.EINVAL;
    if (!isFifo) switchToFifo(domain);
    domain.u32[slot] = domain.frameAt(gfn) + offset;
    domain.u32.fill(
      0,
      (domain.vcpuAt(target) + VcpuState.at.fifoTails) >>> 2,
      ((domain.vcpuAt(target) + VcpuState.at.fifoTails) >>> 2) + 16,
    );
    // A guest binds a new vCPU's ports before it gives the control block: what came in between is linked now.
    const last = domain.get('maxEvtchnPort');
    for (let port = 1; port <= last; port++) {
      if (entry.state(domain, port) === PortState.free || entry.vcpu(domain, port) !== target) continue;
      if (!entry.held(domain, port) && fifoIsPending(domain, port)) fifoSetPending(domain, port);
    }
    return { link_bits: EVTCHN_FIFO_LINK_BITS };
  });
}

function expand(vcpu: Vcpu, gfn: number): number {
  const { domain } = vcpu;
  return domain.locked(() => {
    // Under the lock: another vCPU may be resetting the channels.
    if (domain.get('evtchnAbi') !== ABI_FIFO) return Errno.EOPNOTSUPP;
    const { kind } = vcpu.platform;
    if (!kind.getWritable(domain, gfn)) return Errno.EINVAL;
    const result = expandArray(domain, gfn);
    if (result !== 0) kind.putWritable(domain, gfn);
    return result;
  });
}

function setPriority(vcpu: Vcpu, port: Port, priority: number): number {
  const { domain } = vcpu;
  if (!isValid(domain, port)) return Errno.EINVAL;
  if (domain.get('evtchnAbi') !== ABI_FIFO) return Errno.ENOSYS;
  if (priority > EVTCHN_FIFO_PRIORITY_MIN) return Errno.EINVAL;
  domain.locked(() => entry.setPriority(domain, port, priority));
  return 0;
}
