/** What handling domains needs of the world, handed in: the daemon gives the real ones, tests their own. */
import type { DiskImages } from '../../dom0/disk/index.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainControl, HypervisorControl } from '../../hypervisor/control.ts';
import type { BootloaderService } from '../bootloader/service.ts';
import type { BuildLog } from '../builder/build-log.ts';
import type { DomainConfig } from '../config/domain-config.ts';

export interface DomainServices {
  readonly hypervisor: Pick<
    HypervisorControl,
    'createDomain' | 'domain' | 'domains' | 'onDomainException' | 'physInfo'
  >;
  readonly store: StoreService;
  readonly consoles: ConsoleService;
  readonly scheduling: SchedulingService;
  readonly bootloader: BootloaderService;
  readonly build: BuildService;
  /** What domains have open for writing, and clones' overlays; without it there are no disks. */
  readonly images: DiskImages | undefined;
  /** Opens the log of the process that would stay with a domain in real xl: `xl-NAME.log`. */
  readonly openLog: (domainName: string) => MonitorLog;
  readonly clock: Clock;
  /** The block backends; without them no domain has disks. */
  readonly disks?: DiskService;
}

export interface DiskService {
  /** Resolves when nothing that a domain asked of its disks is under way, and none of it is answered any more … */
  restDisks(domid: number): Promise<void>;
  /** … until this. */
  reclaimDisks(domid: number): Promise<void>;
}

/** The part of xenstored that a toolstack uses. */
export interface StoreService {
  client(): Xenstore;
  introduceDomain(domid: number, mfn: number, port: number): void;
  releaseDomain(domid: number): void;
}

/** Where and how much a domain may run. */
export interface SchedulingService {
  /** Throws LibxlError where the configuration names a CPU pool that there is not; the domain is not made yet. */
  check(config: DomainConfig): void;
  /** Puts a new domain where its configuration says. Throws LibxlError. */
  admit(domid: number, config: DomainConfig): void;
  forget(domid: number): void;
}

/** The part of the console daemon that a toolstack uses: it serves a domain's ring from now on, whether somebody looks or not. */
export interface ConsoleService {
  serve(domid: number): unknown;
}

export interface BuildRequest {
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly memoryKiB: number;
  readonly log: BuildLog | undefined;
}

export interface BuiltRings {
  /** Of a guest that goes on after a suspend: the frame of its start_info. */
  readonly startInfoMfn?: number;
  readonly storeMfn: number;
  readonly storePort: number;
  readonly consoleMfn: number;
  readonly consolePort: number;
}

/** Loads the files and fills the paused domain. Throws BuildError. */
export type BuildService = (domain: DomainControl, request: BuildRequest) => Promise<BuiltRings>;

export interface MonitorLog {
  line(text: string): void;
  close(): void;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after so many milliseconds; rejects with the signal's reason when it is aborted first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}
