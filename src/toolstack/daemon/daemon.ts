/**
 * The host's daemon: it owns the hypervisor, xenstore, the consoles and the domains, and serves clients on a unix socket. It stays
 * until it is told to stop, whether there are domains or not.
 */
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { LogSink, Pty } from '../../dom0/console/index.ts';
import type { DiskHost } from '../../dom0/disk/index.ts';
import { assembleHost, type HypervisorHost } from '../assembly/assemble-host.ts';
import { systemClock } from '../assembly/system-clock.ts';
import { readConsoleConfig, type ConsoleConfig } from '../config/console-config.ts';
import { stopDomains } from '../domain/stop-domains.ts';
import type { BuildService, Clock } from '../domain/services.ts';
import type { HostMemory } from '../migration/host-memory.ts';
import { Connection } from './connection.ts';
import { ConsoleLogs, openMonitorLog } from './log-files.ts';
import { listen } from './private-socket.ts';
import type { DaemonNetwork } from './network.ts';
import { handle, watch, type RequestContext } from './requests.ts';
import type { RunDirectory } from './run-directory.ts';
import { serveXenstore } from './xenstore-socket.ts';

export interface DaemonOptions {
  readonly host: HypervisorHost;
  readonly run: RunDirectory;
  /** Sockets and the like for the guests' networks; without it there are no networks. */
  readonly network?: DaemonNetwork;
  readonly clock?: Clock;
  /** A test's builder; the real one is loaded when the first domain is created. */
  readonly build?: BuildService;
  /** Where image files are; without one, none can be opened. */
  readonly diskHost?: DiskHost;
  /** What the platform can do with domains' memory; without it, nothing special. */
  readonly memory?: HostMemory;
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
  const consoleLogs = new ConsoleLogs(
    run.logs,
    options.consoleConfig ?? readConsoleConfig(),
    () => new Date(clock.now()),
    log,
  );
  const ports = (options.serialPorts ?? []).map((port) => consoleLogs.serial(port));
  const stopLogs = [consoleLogs.hypervisor(), ...ports].map((sink) => logHypervisor(host, sink));
  const parts = await assembleHost({
    ...options,
    folders: run,
    clock,
    openLog: (name) => openMonitorLog(run.logs, name),
    openConsoleLog: (name) => consoleLogs.guest(name),
    tty: (console) => `${run.socket}:${console.domid}`,
  });
  const { manager, onError } = parts;
  const context: RequestContext = {
    ...parts,
    pid: process.pid,
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
  const xenstoreSocket = await serveXenstore(parts.xenstored, run.xenstoreSocket, onError);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= shutDown());
  async function shutDown(): Promise<void> {
    server.close();
    await manager.close();
    for (const connection of connections) connection.close();
    xenstoreSocket.close();
    await parts.close();
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
function logHypervisor(host: HypervisorHost, log: LogSink | undefined): () => void {
  if (log === undefined) return () => undefined;
  log.write(Buffer.from(host.readConsole()));
  const stop = host.onConsoleLine((line) => log.write(Buffer.from(`${line}\n`)));
  return () => {
    stop();
    log.close();
  };
}
