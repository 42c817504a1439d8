/** The ports of a domain: what each is bound to. After struct evtchn and evtchn_allocate_port of xen/common/event_channel.c. */
import { EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_NR_CHANNELS } from '../../abi/event-channel.ts';
import { Errno } from '../../abi/errno.ts';
import type { HostAddress, Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { EvtchnEntry } from '../state.ts';
import { isLinked } from './fifo-words.ts';

/** ECS_* */
export const PortState = { free: 0, unbound: 1, interdomain: 2, pirq: 3, virq: 4, ipi: 5 } as const;
export type PortState = (typeof PortState)[keyof typeof PortState];

export const ABI_2LEVEL = 0;
export const ABI_FIFO = 1;

const at = EvtchnEntry.at;

/** Accessors to struct evtchn; all under the domain's lock. Callers have checked the port with `isValid`. */
export const port = {
  at: (domain: Domain, p: Port): HostAddress => domain.layout.evtchnAt + p * EvtchnEntry.size,
  state: (domain: Domain, p: Port): number => domain.u8[port.at(domain, p) + at.state] ?? 0,
  setState: (domain: Domain, p: Port, state: PortState): void => {
    domain.u8[port.at(domain, p) + at.state] = state;
  },
  priority: (domain: Domain, p: Port): number => domain.u8[port.at(domain, p) + at.priority] ?? 0,
  setPriority: (domain: Domain, p: Port, priority: number): void => {
    domain.u8[port.at(domain, p) + at.priority] = priority;
  },
  held: (domain: Domain, p: Port): boolean => domain.u8[port.at(domain, p) + at.pendingHeld] !== 0,
  setHeld: (domain: Domain, p: Port, held: boolean): void => {
    domain.u8[port.at(domain, p) + at.pendingHeld] = held ? 1 : 0;
  },
  vcpu: (domain: Domain, p: Port): number => domain.u16[(port.at(domain, p) + at.vcpu) >>> 1] ?? 0,
  setVcpu: (domain: Domain, p: Port, vcpu: number): void => {
    domain.u16[(port.at(domain, p) + at.vcpu) >>> 1] = vcpu;
  },
  lastPriority: (domain: Domain, p: Port): number => domain.u8[port.at(domain, p) + at.lastPriority] ?? 0,
  lastVcpu: (domain: Domain, p: Port): number => domain.u16[(port.at(domain, p) + at.lastVcpu) >>> 1] ?? 0,
  setLast: (domain: Domain, p: Port, vcpu: number, priority: number): void => {
    domain.u16[(port.at(domain, p) + at.lastVcpu) >>> 1] = vcpu;
    domain.u8[port.at(domain, p) + at.lastPriority] = priority;
  },
  remoteDomid: (domain: Domain, p: Port): number => domain.u16[(port.at(domain, p) + at.remoteDomid) >>> 1] ?? 0,
  /** Remote port, VIRQ or pirq. */
  remote: (domain: Domain, p: Port): number => domain.u32[(port.at(domain, p) + at.remote) >>> 2] ?? 0,
  setRemote: (domain: Domain, p: Port, domid: number, remote: number): void => {
    domain.u16[(port.at(domain, p) + at.remoteDomid) >>> 1] = domid;
    domain.u32[(port.at(domain, p) + at.remote) >>> 2] = remote;
  },
} as const;

/** A port number the domain may name; whether it is bound is another question. */
export function isValid(domain: Domain, p: Port): boolean {
  return p > 0 && p <= portLimit(domain);
}

/** Highest port: what the toolstack allowed, and what the ABI in use can name. */
export function portLimit(domain: Domain): number {
  const channels = domain.get('evtchnAbi') === ABI_FIFO ? EVTCHN_FIFO_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS;
  return Math.min(domain.get('maxEvtchnPort'), channels - 1);
}

/** The lowest free port, taken with `state`; -ENOSPC when there is none. */
export function allocate(
  domain: Domain,
  state: Exclude<PortState, 0>,
  vcpu: number,
  remoteDomid: number,
  remote: number,
): Port | Errno {
  const limit = portLimit(domain);
  for (let p = 1; p <= limit; p++) {
    // A port whose word is still on a queue would be linked twice (evtchn_port_is_busy).
    if (port.state(domain, p) !== PortState.free || isLinked(domain, p)) continue;
    port.setState(domain, p, state);
    port.setVcpu(domain, p, vcpu);
    port.setRemote(domain, p, remoteDomid, remote);
    return p;
  }
  return Errno.ENOSPC;
}
