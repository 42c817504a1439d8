/**
 * What happens when a domain ends: `on_poweroff`, `on_reboot`, `on_crash`, `on_watchdog`, `on_soft_reset`. In real xl a process stays with
 * each domain for this and writes `xl-NAME.log`; here it is a task of the daemon with the same log.
 */
import { shutdownActions, type DomainConfig, type ShutdownAction } from '../config/domain-config.ts';
import type { DomainManager } from './domain-manager.ts';
import { isEnd, type DomainEnd, type DomainEvent, type ManagedDomain } from './managed-domain.ts';
import type { DomainControl } from '../../hypervisor/control.ts';
import { LibxlError } from './libxl-error.ts';
import type { Clock, MonitorLog } from './services.ts';
import { XenError } from '../xen-error.ts';

export interface MonitorGlue {
  readonly manager: DomainManager;
  readonly clock: Clock;
  readonly log: MonitorLog;
  /** Written where real xl writes its process id. */
  readonly pid: number;
  readonly dumps: CoreDumps;
  /** A domain has ended and is made again: this is its successor, which is about to run. */
  readonly onRestart?: (successor: ManagedDomain) => void;
}

/** For `coredump-destroy` and `coredump-restart`. */
export interface CoreDumps {
  /** Where the core of a domain of this name goes; an earlier one is overwritten. */
  path(name: string): string;
  /** Throws LibxlError. */
  dump(control: DomainControl, path: string): Promise<void>;
}

/** SHUTDOWN_* numbers of xen/include/public/sched.h → the setting that decides. */
const reactionTo = ['on_poweroff', 'on_reboot', undefined, 'on_crash', 'on_watchdog', 'on_soft_reset'] as const;
const suspended = 2;

/** A domain that lives for less long than this is not made again at once: one that cannot boot would keep the host busy. */
const minimumLifeMs = 2000;

type Restart = 'none' | 'again' | 'suspended';

/** Resolves when nobody has to look after the domain, or its successors, any more. */
export async function monitor(first: ManagedDomain, glue: MonitorGlue): Promise<void> {
  const { log, manager, clock } = glue;
  try {
    let domain = first;
    for (;;) {
      log.line(`Waiting for domain ${domain.config.c_info.name} (domid ${domain.domid}) to die [pid ${glue.pid}]`);
      const event = await ended(domain, manager);
      if (event.kind === 'destroyed') {
        log.line(`Domain ${event.domid} has been destroyed.`);
        return;
      }
      log.line(`Domain ${event.domid} has shut down, reason code ${event.reason} 0x${event.reason.toString(16)}`);
      const successor = manager.successorConfig(domain);
      const restart = await react(domain, event.reason, glue, successor);
      if (restart === 'suspended') {
        log.line(`Continue waiting for domain ${domain.domid}`);
        if ((await afterSuspend(domain.domid, manager)) === 'resumed') continue;
        return;
      }
      if (restart === 'none' || manager.stopping) {
        log.line('Done. Exiting now');
        return;
      }
      log.line('Done. Rebooting now');
      await clock.sleep(Math.max(0, domain.startTime + minimumLifeMs - clock.now()));
      domain = await manager.create(successor);
      glue.onRestart?.(domain);
      manager.unpause(domain.domid);
    }
  } catch (error) {
    for (const line of error instanceof XenError ? error.lines : [String(error)]) log.line(line);
  } finally {
    log.close();
  }
}

async function react(
  domain: ManagedDomain,
  reason: number,
  { manager, log, clock, dumps }: MonitorGlue,
  successor: DomainConfig,
): Promise<Restart> {
  const { domid, config } = domain;
  if (reason === suspended) {
    log.line('Domain has suspended.');
    return 'suspended';
  }
  let action = actionFor(reason, config);
  if (reactionTo[reason] === undefined) log.line(`Unknown shutdown reason code ${reason}. Destroying domain.`);
  log.line(`Action for shutdown reason code ${reason} is ${spelling(action)}`);
  if (action === 'coredump_destroy' || action === 'coredump_restart') {
    await dumpCore(domain, dumps, log);
    action = action === 'coredump_destroy' ? 'destroy' : 'restart';
  }
  switch (action) {
    case 'preserve':
      return 'none';
    case 'restart_rename': {
      const suffix = `-${new Date(clock.now()).toISOString().slice(0, 16).replace(/[-:]/g, '')}Z`;
      log.line(`Preserving domain ${domid} ${config.c_info.name} with suffix${suffix}`);
      manager.preserve(domid, `${config.c_info.name}${suffix}`);
      return 'again';
    }
    case 'soft_reset':
      // Xen does this to HVM guests only (arch_domain_soft_reset), and xl destroys what it could not reset.
      log.line(
        `libxl: error: libxl_domain.c:domain_destroy_domid_cb: Domain ${domid}:soft reset failed: Invalid argument`,
      );
      await manager.destroy(domid);
      return 'none';
    case 'restart':
      await destroyAfter(domid, manager, log, successor);
      return 'again';
    case 'destroy':
      await destroyAfter(domid, manager, log);
      return 'none';
  }
}

/** Whether it succeeds or not, the rest goes on. */
async function dumpCore({ control, config }: ManagedDomain, dumps: CoreDumps, log: MonitorLog): Promise<void> {
  const path = dumps.path(config.c_info.name);
  log.line(`dumping core to ${path}`);
  try {
    await dumps.dump(control, path);
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error;
    for (const line of error.lines) log.line(line);
    log.line(`core dump failed (rc=${error.rc}).`);
  }
}

async function destroyAfter(
  domid: number,
  manager: DomainManager,
  log: MonitorLog,
  successor?: DomainConfig,
): Promise<void> {
  log.line(`Domain ${domid} needs to be cleaned up: destroying the domain`);
  await manager.destroy(domid, successor);
}

function actionFor(reason: number, config: DomainConfig): ShutdownAction {
  const reaction = reactionTo[reason];
  return reaction === undefined ? 'destroy' : config.reactions[reaction];
}

function spelling(action: ShutdownAction): string {
  return Object.entries(shutdownActions).find(([, libxl]) => libxl === action)?.[0] ?? action;
}

function ended(domain: ManagedDomain, manager: DomainManager): Promise<DomainEnd> {
  const info = domain.destruction === undefined ? domain.control.info() : undefined;
  if (manager.domain(domain.domid) !== domain) return Promise.resolve({ kind: 'destroyed', domid: domain.domid });
  if (info?.shutdown === true)
    return Promise.resolve({ kind: 'shutdown', domid: domain.domid, reason: info.shutdownReason ?? 0 });
  return next(domain.domid, manager, isEnd);
}

type AfterSuspend = Extract<DomainEvent, { kind: 'destroyed' | 'resumed' }>;

/** Saved and gone, or saved and going on. */
async function afterSuspend(domid: number, manager: DomainManager): Promise<'destroyed' | 'resumed'> {
  if (manager.domain(domid) === undefined) return 'destroyed';
  const goesOn = (event: DomainEvent): event is AfterSuspend => event.kind === 'destroyed' || event.kind === 'resumed';
  return (await next(domid, manager, goesOn)).kind;
}

function next<E extends DomainEvent>(
  domid: number,
  manager: DomainManager,
  wanted: (event: DomainEvent) => event is E,
): Promise<E> {
  return new Promise((resolve) => {
    const stop = manager.onEvent((event) => {
      if (event.domid !== domid || !wanted(event)) return;
      stop();
      resolve(event);
    });
  });
}
