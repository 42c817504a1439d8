/** What must hold of a domain's event channels and grant table, whatever the guest did. */
import type { Domain } from '../domain.ts';
import { PortState, port as entry, portLimit } from '../event-channel/ports.ts';
import { NR_VIRQS, isPerVcpuVirq, virqSlot } from '../event-channel/virq.ts';
import { VcpuState } from '../state.ts';

/** Contradictions between the ports of a domain; nothing when all is well. */
export function wrongPorts(domain: Domain): string[] {
  const wrong: string[] = [];
  const states: ReadonlySet<number> = new Set(Object.values(PortState));
  for (let port = 0; port <= domain.get('maxEvtchnPort'); port++) {
    const state = entry.state(domain, port);
    const remote = entry.remote(domain, port);
    const say = (what: string): void => void wrong.push(`port ${port} in state ${state}: ${what}`);
    if (!states.has(state)) say('no such state');
    if (!domain.hasVcpu(entry.vcpu(domain, port))) say(`notifies vCPU ${entry.vcpu(domain, port)}`);
    if (entry.priority(domain, port) > 15 || entry.lastPriority(domain, port) > 15) say('priority out of range');
    if (!domain.hasVcpu(entry.lastVcpu(domain, port)))
      say(`was last on a queue of vCPU ${entry.lastVcpu(domain, port)}`);
    if (port === 0 && state !== PortState.free) say('port 0 is never given out');
    if (state === PortState.interdomain && entry.remoteDomid(domain, port) === domain.domid) {
      const back = entry.remote(domain, remote);
      if (entry.state(domain, remote) !== PortState.interdomain || back !== port)
        say(`its peer ${remote} leads to ${back}`);
    }
    if (state === PortState.virq) {
      const slot = virqSlot(domain, isPerVcpuVirq(remote) ? entry.vcpu(domain, port) : 0, remote);
      if (remote >= NR_VIRQS || domain.u32[slot] !== port) say(`VIRQ ${remote} is bound to ${domain.u32[slot] ?? 0}`);
    }
  }
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    for (let virq = 0; virq < NR_VIRQS; virq++) {
      const port = domain.u32[virqSlot(domain, vcpu, virq)] ?? 0;
      if (port !== 0 && entry.state(domain, port) !== PortState.virq) wrong.push(`VIRQ ${virq} names port ${port}`);
    }
    const queues = (domain.vcpuAt(vcpu) + VcpuState.at.fifoTails) >>> 2;
    for (const tail of domain.u32.subarray(queues, queues + 16)) {
      if (tail > portLimit(domain)) wrong.push(`a queue of vCPU ${vcpu} ends in port ${tail}`);
    }
  }
  return wrong;
}

export function wrongGrants(domain: Domain): string[] {
  const { maxGrantFrames, statusFrames } = domain.layout;
  const wrong: string[] = [];
  const version = domain.get('grantVersion');
  if (version !== 1 && version !== 2) wrong.push(`grant table version ${version}`);
  if (domain.get('grantFrames') > maxGrantFrames) wrong.push(`${domain.get('grantFrames')} grant frames`);
  if (domain.get('statusFrames') > statusFrames) wrong.push(`${domain.get('statusFrames')} status frames`);
  return wrong;
}
