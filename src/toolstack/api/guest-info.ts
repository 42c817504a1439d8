/** What a guest has and does at one moment. */
import type { HostParts } from '../assembly/assemble-host.ts';
import { currentMemory } from '../domain/current-config.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';

/** `shutdown`: its kernel has stopped, and its domain is still there. */
export type GuestState = 'running' | 'paused' | 'shutdown';

/** A guest at one moment. */
export interface GuestInfo {
  /** As `xl list` shows it. */
  readonly name: string;
  /** It stays the same over reboots, saving and moving. */
  readonly uuid: string;
  /** The number of its domain. */
  readonly domid: number;
  /** What its domain does. */
  readonly state: GuestState;
  /** MiB that it has. */
  readonly memory: number;
  /** MiB that it may have. */
  readonly maxMemory: number;
  /** Processors that are online. */
  readonly vcpus: number;
  /** Seconds that its processors have run for together. */
  readonly cpuTime: number;
  /** When this boot began. */
  readonly startedAt: Date;
}

const KIB = 1024;
const PAGES_PER_MIB = 256;
const NANOSECONDS = 1e9;

export function guestInfo(
  domain: ManagedDomain,
  { hypervisor, xenstore }: Pick<HostParts, 'hypervisor' | 'xenstore'>,
): GuestInfo {
  const info = domain.control.info();
  const vcpus = Array.from({ length: info.maxVcpuId + 1 }, (_, vcpu) =>
    hypervisor.domain(domain.domid)?.vcpuInfo(vcpu),
  );
  return {
    name: domain.name,
    uuid: domain.uuid,
    domid: domain.domid,
    state: info.shutdown ? 'shutdown' : info.paused ? 'paused' : 'running',
    memory: Math.round(info.totPages / PAGES_PER_MIB),
    maxMemory: Math.floor((currentMemory(xenstore, domain.domid).max_memkb ?? 0) / KIB),
    vcpus: vcpus.filter((vcpu) => vcpu?.online === true).length,
    cpuTime: info.cpuTimeNs / NANOSECONDS,
    startedAt: new Date(domain.startTime),
  };
}
