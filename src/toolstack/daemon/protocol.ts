/**
 * What is said on the daemon's socket. The daemon greets with `{ greeting: { version, pid } }`. A client sends `{ id, method, params }`; the daemon answers `{ id, result }` or `{ id, error }`,
 * and before that any number of `{ id, event }`. After `attachConsole` has been answered, data frames carry the console's bytes
 * both ways. The names here are the only place where both sides meet.
 */
import type { JsonObject } from '../config/json.ts';
import type { ChannelSummary } from '../devices/channels.ts';
import type { DiskSummary } from '../devices/disks.ts';
import type { NicSummary } from '../devices/nics.ts';
import type { DomainProfile } from '../domain/profile.ts';
import type { VcpuAffinity } from '../scheduler/scheduling.ts';
import type { GuestMethods } from './guest-protocol.ts';
import type { MigrationMethods } from './migration-protocol.ts';
import type { SchedulerMethods } from './scheduler-protocol.ts';
import type { StatisticsMethods } from './statistics-protocol.ts';

/** Raised with every incompatible change. */
export const protocolVersion = 2;

export interface DomainSummary {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly memKiB: number;
  readonly maxMemKiB: number;
  readonly vcpusOnline: number;
  readonly running: boolean;
  readonly blocked: boolean;
  readonly paused: boolean;
  readonly shutdown: boolean;
  readonly dying: boolean;
  readonly shutdownReason: number;
  readonly cpuTimeNs: number;
  /** The name of its CPU pool. */
  readonly cpuPool: string;
  /** Milliseconds since 1970. */
  readonly startTime: number;
}

export interface VcpuSummary {
  readonly domid: number;
  readonly name: string;
  readonly vcpu: number;
  readonly online: boolean;
  readonly blocked: boolean;
  readonly running: boolean;
  readonly cpu: number;
  readonly cpuTimeNs: number;
  /** Guest instructions executed so far. */
  readonly instructions: number;
  readonly affinity: VcpuAffinity;
}

export interface ProfileSummary extends DomainProfile {
  readonly domid: number;
  readonly name: string;
  /** For how long it was looked at. */
  readonly seconds: number;
}

export interface HostSummary {
  readonly host: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
  readonly nrCpus: number;
  readonly maxCpuId: number;
  readonly nrNodes: number;
  readonly coresPerSocket: number;
  readonly threadsPerCore: number;
  readonly cpuKhz: number;
  readonly hwCap: readonly number[];
  readonly virtCaps: readonly string[];
  readonly totalPages: number;
  readonly freePages: number;
  readonly outstandingPages: number;
  /** Processors that no CPU pool has. */
  readonly freeCpus: number;
  readonly xenMajor: number;
  readonly xenMinor: number;
  readonly xenExtra: string;
  readonly xenCaps: string;
  readonly scheduler: string;
  readonly pageSize: number;
  readonly virtStart: string;
  readonly changeset: string;
  readonly commandLine: string;
  readonly compiler: string;
  readonly compileBy: string;
  readonly compileDomain: string;
  readonly compileDate: string;
  readonly buildId: string;
}

export interface XenstoreNode {
  readonly value: string;
  /** As `n0,r1`. */
  readonly perms: string;
  readonly children: readonly string[];
}

/** A port of the host that leads to a guest, as `tcp:127.0.0.1:2222` and `web:22`. */
export interface ForwardSummary {
  readonly host: string;
  readonly guest: string;
  readonly bridge: string;
}

/** What an interface may reach, and has reached. */
export interface EgressInterface {
  /** `vif3.0`, or its `vifname=`. */
  readonly name: string;
  /** Only what the rules name is allowed. */
  readonly restricted: boolean;
  readonly passed: readonly { readonly rule: string; readonly count: number }[];
  readonly refused: { readonly tcp: number; readonly udp: number; readonly names: number; readonly frames: number };
}

/** method → what it takes and what it answers. */
export interface Methods extends SchedulerMethods, GuestMethods, MigrationMethods, StatisticsMethods {
  hello: { params: Record<never, never>; result: { version: number; pid: number; domains: number } };
  list: { params: { domid?: number }; result: { domains: readonly DomainSummary[] } };
  /** Configurations as `xl list -l` prints them. */
  configs: { params: { domid?: number }; result: { configs: readonly JsonObject[] } };
  vcpus: { params: { domids?: readonly number[] }; result: { vcpus: readonly VcpuSummary[]; cpus: number } };
  /** Looks at a domain for so many milliseconds, and answers then. At most `top` functions. */
  profile: { params: { domid: number; milliseconds: number; top: number }; result: ProfileSummary };
  info: { params: Record<never, never>; result: HostSummary };
  dmesg: { params: { clear: boolean }; result: { text: string } };
  /** Only names; a number needs no asking. */
  domid: { params: { name: string }; result: { domid: number | null } };
  domname: { params: { domid: number }; result: { name: string | null } };
  /**
   * Builds a domain and unpauses it unless `paused`. Events: `{ log }` when `verbose`; with `foreground`, `{ created: domid }` and then
   * `{ monitor }` lines until the domain has ended for good, and only then the answer.
   */
  create: {
    params: { config: JsonObject; paused: boolean; monitor: boolean; foreground: boolean; verbose: boolean };
    result: { domid: number };
  };
  pause: { params: { domid: number }; result: Record<never, never> };
  unpause: { params: { domid: number }; result: Record<never, never> };
  destroy: { params: { domid: number }; result: Record<never, never> };
  shutdown: { params: { domid: number }; result: Record<never, never> };
  reboot: { params: { domid: number }; result: Record<never, never> };
  rename: { params: { domid: number; name: string }; result: Record<never, never> };
  attachDisk: { params: { domid: number; disk: JsonObject }; result: Record<never, never> };
  /** Whether the name is one of a disk that the domain has; an error when not. */
  findDisk: { params: { domid: number; vdev: string }; result: Record<never, never> };
  detachDisk: { params: { domid: number; vdev: string; force: boolean }; result: Record<never, never> };
  disks: { params: { domid: number }; result: { disks: readonly DiskSummary[] } };
  insertCdrom: { params: { domid: number; disk: JsonObject }; result: Record<never, never> };
  attachNic: { params: { domid: number; nic: JsonObject }; result: Record<never, never> };
  /** An error when the domain has no interface with this number or MAC address. */
  findNic: { params: { domid: number; which: string }; result: Record<never, never> };
  detachNic: { params: { domid: number; which: string }; result: Record<never, never> };
  channels: { params: { domid: number }; result: { channels: readonly ChannelSummary[] } };
  nics: { params: { domid: number }; result: { nics: readonly NicSummary[] } };
  sysrq: { params: { domid: number; letter: string }; result: Record<never, never> };
  /** Answers at once; then `{ death: 'shutdown' | 'destroyed', domid, reason }` for each of these domains as it comes. */
  watchDeaths: { params: { domids: readonly number[] }; result: Record<never, never> };
  /** From then on data frames both ways; `{ end: true }` when the console has ended. `num`: one of several, else the first, 0. */
  attachConsole: { params: { domid: number; num?: number }; result: Record<never, never> };
  /** One node of xenstore as domain 0 sees it; null when there is none. */
  xenstoreNode: { params: { path: string }; result: { node: XenstoreNode | null } };
  egress: { params: { domid: number; which?: string }; result: { interfaces: readonly EgressInterface[] } };
  /** Rules as `parseEgress` reads them, for all interfaces or for the one with this number or MAC address. */
  setEgress: { params: { domid: number; which?: string; rules: string }; result: Record<never, never> };
  forwards: { params: Record<never, never>; result: { forwards: readonly ForwardSummary[] } };
  /** Listens from now on, until the daemon ends. A port of 0 is answered with the one that was chosen. */
  addForward: { params: { host: string; guest: string; bridge?: string }; result: ForwardSummary };
  removeForward: { params: { host: string }; result: Record<never, never> };
  /**
   * Ends the daemon, and all domains before: they have so many seconds to shut down in, none if nothing is said, and are destroyed then. Events: `{ stopping }`
   * lines for the person who waits.
   */
  stop: { params: { seconds?: number }; result: Record<never, never> };
}
export type Method = keyof Methods;

/** An error as it travels: what the client writes to standard error, and libxl's number for it. */
export interface ErrorMessage {
  readonly message: string;
  readonly lines: readonly string[];
  readonly rc: number;
}
