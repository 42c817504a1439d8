/**
 * The host's daemon: it owns the hypervisor, xenstore, the consoles and the domains, and serves clients on a unix socket. It stays
 * until it is told to stop, whether there are domains or not.
 */
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { Consoles, type LogSink, type Pty } from '../../dom0/console/index.ts';
import type { DiskHost } from '../../dom0/disk/index.ts';
import type { Clock as MonotonicClock } from '../../dom0/scheduler.ts';
import { Xenstored } from '../../dom0/xenstore/index.ts';
import type { DomainControl, HypervisorControl } from '../../hypervisor/control.ts';
import { bootloaderService } from '../bootloader/service.ts';
import { readConsoleConfig, type ConsoleConfig } from '../config/console-config.ts';
import { DomainManager } from '../domain/domain-manager.ts';
import { stopDomains } from '../domain/stop-domains.ts';
import type { BuildRequest, BuiltRings, Clock } from '../domain/services.ts';
import { initialise } from '../domain/xenstore-tree.ts';
import { Transit } from '../migration/transit.ts';
import { CpuPools } from '../scheduler/cpu-pools.ts';
import { placement } from '../scheduler/placement.ts';
import { isScheduler } from '../scheduler/scheduler-parameters.ts';
import { Scheduling } from '../scheduler/scheduling.ts';
import { startBackends } from './backends.ts';
import { listenForChannel } from './channel-socket.ts';
import { Connection } from './connection.ts';
import { coreDumps } from './core-dumps.ts';
import { ConsoleLogs, openMonitorLog } from './log-files.ts';
import { listen } from './private-socket.ts';
import { startNetwork, type DaemonNetwork } from './network.ts';
import { handle, watch, type RequestContext } from './requests.ts';
import type { RunDirectory } from './run-directory.ts';
import { serveXenstore } from './xenstore-socket.ts';

/** The real hypervisor of this process, or a test's. */
export type Host = HypervisorControl & { close(): Promise<void> };

export interface DaemonOptions {
  readonly host: Host;
  readonly run: RunDirectory;
  /** Sockets and the like for the guests' networks; without it there are no networks. */
  readonly network?: DaemonNetwork;
  readonly clock?: Clock;
  /** A test's builder; the real one is loaded when the first domain is created. */
  readonly build?: (domain: DomainControl, request: BuildRequest) => Promise<BuiltRings>;
  /** Where image files are; without one, none can be opened. */
  readonly diskHost?: DiskHost;
  /** How consoles are logged, when it is not to be read from the usual file. */
  readonly consoleConfig?: ConsoleConfig;
  /** Serial ports that the hypervisor's lines go to, `com1`: each is a file beside the logs of consoles. */
  readonly serialPorts?: readonly string[];
  /** A pseudo-terminal for a console, where the platform has them. */
  readonly openPty?: () => Pty | undefined;
  readonly log: (line: string) => void;
  /** Files of domains that come up with the daemon, in this order. */
  readonly autoConfigs?: readonly string[];
  readonly onStopped?: () => void;
}

export interface Daemon {
  /** Destroys all domains and lets go of everything. */
  close(): Promise<void>;
  /** Asks all domains to shut down, for so long, then does the same; resolves when it is about to. */
  stop(milliseconds: number): Promise<void>;
  /** Consoles' logs are opened again, after somebody has moved them away. */
  reopenLogs(): void;
}

/** Clients that may be connected at a time: consoles that people look at, and commands in work. */
const maxConnections = 256;

/** The caller holds the lock of the run directory, so a socket that is there already is nobody's. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { host, run, log } = options;
  const clock = options.clock ?? systemClock;
  const startTime = clock.now();
  const onError = (error: unknown): void =>
    log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  // Through the event loop, so that a guest that never stops talking does not keep clients and other guests waiting.
  const scheduler = { defer: (task: () => void) => void setImmediate(task) };
  const xenstored = new Xenstored(host, { scheduler, clock: monotonic, onError, log });
  const xs = xenstored.client();
  initialise(xs, (host.domain(0)?.info().totPages ?? 0) * 4);
  const consoleLogs = new ConsoleLogs(
    run.logs,
    options.consoleConfig ?? readConsoleConfig(),
    () => new Date(clock.now()),
    log,
  );
  const ports = (options.serialPorts ?? []).map((port) => consoleLogs.serial(port));
  const stopLogs = [consoleLogs.hypervisor(), ...ports].map((sink) => logHypervisor(host, sink));
  const consoles = new Consoles(host, xs, {
    scheduler,
    openLog: (name) => consoleLogs.guest(name),
    ...(options.openPty === undefined ? {} : { openPty: options.openPty }),
    tty: (console) => `${run.socket}:${console.domid}`,
  });
  const network = options.network && (await startNetwork(options.network, xenstored.client(), log));
  const { nrCpus } = host.physInfo();
  const backends = startBackends({
    control: host,
    xs: xenstored.client(),
    diskHost: options.diskHost,
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
  const openLog = (name: string): ReturnType<typeof openMonitorLog> => openMonitorLog(run.logs, name);
  const manager = new DomainManager({
    hypervisor: host,
    store: xenstored,
    consoles,
    scheduling: placement(pools, scheduling),
    bootloader: bootloaderService({ run, diskHost: options.diskHost }),
    build: options.build ?? buildFromFiles,
    openLog,
    clock,
  });
  const context: RequestContext = {
    hypervisor: host,
    manager,
    transit: new Transit(manager, backends),
    pools,
    scheduling,
    xenstore: xs,
    backends,
    network,
    console: (domid, num) => consoles.get(domid, num) ?? (num === 0 ? consoles.serve(domid) : undefined),
    openLog,
    dumps: coreDumps(run.dumps, host.version),
    clock,
    pid: process.pid,
    startTime,
    onError,
    async stop(milliseconds, say) {
      await stopDomains(manager, { milliseconds, clock, say: told(say) });
      // After the answer has gone out.
      setImmediate(() => void close().then(options.onStopped, onError));
    },
  };
  const told = (say: (line: string) => void) => (line: string) => {
    log(line);
    say(line);
  };
  const connections = new Set<Connection>();
  const server = createServer((socket) => {
    if (connections.size >= maxConnections) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, {
      handle: (method, params, call) => handle(context, method, params, call),
      onError,
    });
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
  });
  server.on('error', onError);
  const xenstoreSocket = await serveXenstore(xenstored, run.xenstoreSocket, onError);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= shutDown());
  async function shutDown(): Promise<void> {
    server.close();
    await manager.close();
    for (const connection of connections) connection.close();
    network?.close();
    await backends.close();
    consoles.close();
    xenstoreSocket.close();
    xenstored.close();
    await host.close();
    for (const stopLog of stopLogs) stopLog();
    rmSync(run.socket, { force: true });
  }
  await listen(server, run.socket);
  log(`serving ${run.socket} and ${run.xenstoreSocket}`);
  const { autoStart } = await import('./auto-start.ts');
  void autoStart(options.autoConfigs ?? [], {
    manager,
    log,
    watch: (domid) => {
      const domain = manager.domain(domid);
      if (domain !== undefined) watch(context, domain).catch(onError);
    },
  }).catch(onError);
  return {
    close,
    stop: (milliseconds) => context.stop(milliseconds, () => undefined),
    reopenLogs: () => consoleLogs.reopen(),
  };
}

/** All of the hypervisor's log, from its first line on. Returns what ends that. */
function logHypervisor(host: Host, log: LogSink | undefined): () => void {
  if (log === undefined) return () => undefined;
  log.write(Buffer.from(host.readConsole()));
  const stop = host.onConsoleLine((line) => log.write(Buffer.from(`${line}\n`)));
  return () => {
    stop();
    log.close();
  };
}

async function buildFromFiles(domain: DomainControl, request: BuildRequest): Promise<BuiltRings> {
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

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', end);
        resolve();
      }, milliseconds);
      const end = (): void => {
        clearTimeout(timer);
        reject(signal?.reason instanceof Error ? signal.reason : new Error('cancelled'));
      };
      if (signal?.aborted === true) end();
      else signal?.addEventListener('abort', end, { once: true });
    }),
};
