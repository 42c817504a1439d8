/**
 * What a host consists of beside its hypervisor: xenstore, the consoles, the backends, the networks, CPU pools and the domains' manager, put together in
 * one way for the daemon, which serves them on sockets, and for a host inside of somebody's program (../api).
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Consoles, type DomainConsole, type LogSink, type Pty } from '../../dom0/console/index.ts';
import { DiskImages, type DiskHost } from '../../dom0/disk/index.ts';
import type { Network } from '../../dom0/net/network.ts';
import type { Clock as MonotonicClock } from '../../dom0/scheduler.ts';
import { Xenstored, type Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainControl, HypervisorControl } from '../../hypervisor/control.ts';
import { GuestAgents } from '../agent/guest-agents.ts';
import { bootloaderService } from '../bootloader/service.ts';
import { startBackends, type Backends } from '../daemon/backends.ts';
import { listenForChannel } from '../daemon/channel-socket.ts';
import { coreDumps } from '../daemon/core-dumps.ts';
import { startNetwork, type DaemonNetwork } from '../daemon/network.ts';
import { DomainManager } from '../domain/domain-manager.ts';
import type { CoreDumps } from '../domain/monitor.ts';
import type { BuildRequest, BuildService, Clock, MonitorLog } from '../domain/services.ts';
import { initialise } from '../domain/xenstore-tree.ts';
import type { HostMemory } from '../migration/host-memory.ts';
import { Transit } from '../migration/transit.ts';
import { CpuPools } from '../scheduler/cpu-pools.ts';
import { placement } from '../scheduler/placement.ts';
import { isScheduler } from '../scheduler/scheduler-parameters.ts';
import { Scheduling } from '../scheduler/scheduling.ts';
import { systemClock } from './system-clock.ts';

/** The real hypervisor of this process, or a test's. */
export type HypervisorHost = HypervisorControl & { close(): Promise<void> };

export interface AssemblyOptions {
  readonly host: HypervisorHost;
  /** Folders for files of the bootloader and temporary ones of disks, which nobody else uses; for logs; and for cores of domains that crashed. */
  readonly folders: { readonly path: string; readonly logs: string; readonly dumps: string };
  /** The log of what becomes of a domain, by its name. */
  readonly openLog: (domainName: string) => MonitorLog;
  readonly log: (line: string) => void;
  /** Sockets and the like for the guests' networks; without it there are no networks. */
  readonly network?: DaemonNetwork | undefined;
  readonly clock?: Clock | undefined;
  /** A test's builder; the real one is loaded when the first domain is created. */
  readonly build?: BuildService | undefined;
  /** Where image files are; without one, none can be opened. */
  readonly diskHost?: DiskHost | undefined;
  /** What the platform can do with domains' memory; without it, nothing special. */
  readonly memory?: HostMemory | undefined;
  /** The log of what a guest prints, by its domain's name. */
  readonly openConsoleLog?: ((domainName: string) => LogSink | undefined) | undefined;
  /** A pseudo-terminal for a console, where the platform has them. */
  readonly openPty?: (() => Pty | undefined) | undefined;
  /** What xenstore says of how a console without a pseudo-terminal can be reached. */
  readonly tty?: ((console: DomainConsole) => string | undefined) | undefined;
}

export interface HostParts {
  readonly hypervisor: HypervisorHost;
  readonly manager: DomainManager;
  readonly transit: Transit;
  readonly memory: HostMemory;
  readonly pools: CpuPools;
  readonly scheduling: Scheduling;
  readonly xenstored: Xenstored;
  /** Domain 0's. */
  readonly xenstore: Xenstore;
  readonly backends: Backends;
  readonly network: Network | undefined;
  /** One of a domain's consoles; the first is 0. */
  readonly console: (domid: number, num: number) => DomainConsole | undefined;
  /** One of them as soon as there is one, another than the one that is known; rejects at the signal. */
  readonly whenConsole: (
    domid: number,
    num: number,
    options: { readonly signal: AbortSignal; readonly known: DomainConsole | undefined },
  ) => Promise<DomainConsole>;
  /** Programs and files in guests. */
  readonly agents: GuestAgents;
  readonly openLog: (domainName: string) => MonitorLog;
  readonly dumps: CoreDumps;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly startTime: number;
  readonly onError: (error: unknown) => void;
  /** Destroys all domains and lets go of everything. */
  close(): Promise<void>;
}

export async function assembleHost(options: AssemblyOptions): Promise<HostParts> {
  const { host, folders, log, openLog, diskHost } = options;
  const clock = options.clock ?? systemClock;
  const onError = (error: unknown): void =>
    log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  // Through the event loop, so that a guest that never stops talking does not keep clients and other guests waiting.
  const scheduler = { defer: (task: () => void) => void setImmediate(task) };
  const xenstored = new Xenstored(host, { scheduler, clock: monotonic, onError, log });
  const xs = xenstored.client();
  initialise(xs, (host.domain(0)?.info().totPages ?? 0) * 4);
  const consoles = new Consoles(host, xs, {
    scheduler,
    ...(options.openConsoleLog === undefined ? {} : { openLog: options.openConsoleLog }),
    ...(options.openPty === undefined ? {} : { openPty: options.openPty }),
    ...(options.tty === undefined ? {} : { tty: options.tty }),
  });
  const network = options.network && (await startNetwork(options.network, xenstored.client(), log));
  const { nrCpus } = host.physInfo();
  const layers = join(folders.path, 'layers');
  if (diskHost !== undefined) makeEmpty(layers);
  const images = diskHost && new DiskImages(diskHost, layers);
  const backends = startBackends({
    control: host,
    xs: xenstored.client(),
    images,
    bridges: network,
    consoles: { consoles, openPty: options.openPty ?? (() => undefined), listen: listenForChannel },
    nrCpus,
    scheduler,
    onError,
    log,
  });
  const { scheduler: bootScheduler } = host.version;
  const poolHost = { nrCpus, domids: () => host.domains().map(({ domid }) => domid) };
  const pools = new CpuPools(poolHost, xs, isScheduler(bootScheduler) ? bootScheduler : 'credit2');
  const vcpusOf = (domid: number): number | undefined => {
    const most = host.domain(domid)?.info().maxVcpuId;
    return most === undefined ? undefined : most + 1;
  };
  const scheduling = new Scheduling(pools, nrCpus, vcpusOf, (domid, how) => host.domain(domid)?.setScheduling(how));
  const agents = new GuestAgents({
    xs,
    whenServed: (domid, num, signal) => consoles.whenServed(domid, num, { signal }),
  });
  const manager = new DomainManager({
    hypervisor: host,
    store: xenstored,
    consoles,
    scheduling: placement(pools, scheduling),
    bootloader: bootloaderService({ run: folders, images }),
    images,
    build: options.build ?? buildFromFiles,
    openLog,
    clock,
    disks: backends,
  });
  return {
    hypervisor: host,
    manager,
    transit: new Transit(manager, backends),
    memory: options.memory ?? {},
    pools,
    scheduling,
    xenstored,
    xenstore: xs,
    backends,
    network,
    console: (domid, num) => consoles.get(domid, num) ?? (num === 0 ? consoles.serve(domid) : undefined),
    whenConsole: (domid, num, options) => consoles.whenServed(domid, num, options),
    agents,
    openLog,
    dumps: coreDumps(folders.dumps, host.version),
    clock,
    startTime: clock.now(),
    onError,
    async close() {
      agents.close();
      await manager.close();
      network?.close();
      await backends.close();
      await images?.close();
      rmSync(layers, { recursive: true, force: true });
      consoles.close();
      xenstored.close();
      await host.close();
    },
  };
}

/** The folder for temporary files of disks, without those that a host which was killed has left. */
function makeEmpty(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

async function buildFromFiles(domain: DomainControl, request: BuildRequest): ReturnType<BuildService> {
  const { kernel, ramdisk, cmdline, memoryKiB, log } = request;
  const { loadPvImage, release } = await import('../builder/load-image.ts');
  const { buildPvDomain } = await import('../builder/pv-builder.ts');
  const image = await loadPvImage({ kernel, ramdisk, cmdline }, log);
  try {
    return buildPvDomain(domain, image, { memoryKiB, cmdline, ...(log === undefined ? {} : { log }) });
  } finally {
    release(image);
  }
}

const monotonic: MonotonicClock = {
  now: () => performance.now(),
  after(milliseconds, task) {
    const timeout = setTimeout(task, milliseconds).unref();
    return () => clearTimeout(timeout);
  },
};
