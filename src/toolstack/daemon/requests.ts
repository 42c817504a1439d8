/** What the daemon does for each request: one row a method. */
import type { DomainConsole } from '../../dom0/console/index.ts';
import type { Network } from '../../dom0/net/network.ts';
import { XenstoreError, type Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainControl, HypervisorControl } from '../../hypervisor/control.ts';
import type { GuestAgents } from '../agent/guest-agents.ts';
import type { JsonObject } from '../config/json.ts';
import { formatUuid } from '../config/uuid.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import { isEnd, type CreateOptions, type ManagedDomain } from '../domain/managed-domain.ts';
import { diskOf } from '../devices/disks.ts';
import { nicOf } from '../devices/nics.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import type { Clock, MonitorLog } from '../domain/services.ts';
import { monitor, type CoreDumps } from '../domain/monitor.ts';
import type { HostMemory } from '../migration/host-memory.ts';
import type { Transit } from '../migration/transit.ts';
import type { CpuPools } from '../scheduler/cpu-pools.ts';
import type { Scheduling } from '../scheduler/scheduling.ts';
import { XenError } from '../xen-error.ts';
import type { Call } from './connection.ts';
import type { Backends } from './backends.ts';
import { consoleInTime } from './console-in-time.ts';
import { guestRequests } from './guest-requests.ts';
import { hostSummary } from './host-summary.ts';
import { migrationRequests } from './migration-requests.ts';
import { retrieveConfig } from './retrieve-config.ts';
import { listEgress, setEgress } from './egress-requests.ts';
import { addForward, listForwards, removeForward } from './network.ts';
import * as read from './parameters.ts';
import { hostStatistics } from './statistics-request.ts';
import { profile } from './profile-request.ts';
import { schedulerRequests } from './scheduler-requests.ts';
import { protocolVersion, type DomainSummary, type Method, type Methods, type VcpuSummary } from './protocol.ts';

export interface RequestContext {
  readonly hypervisor: HypervisorControl;
  readonly manager: DomainManager;
  readonly transit: Transit;
  readonly memory: HostMemory;
  readonly pools: CpuPools;
  readonly scheduling: Scheduling;
  readonly xenstore: Xenstore;
  readonly backends: Pick<Backends, 'disks' | 'nics'>;
  readonly network: Network | undefined;
  readonly console: (domid: number, num: number) => DomainConsole | undefined;
  readonly agents: GuestAgents;
  readonly openLog: (domainName: string) => MonitorLog;
  readonly dumps: CoreDumps;
  readonly clock: Clock;
  readonly pid: number;
  readonly startTime: number;
  readonly onError: (error: unknown) => void;
  /** Asks the domains to shut down, for so long, and ends the daemon then; resolves when it is about to. */
  readonly stop: (milliseconds: number, say: (line: string) => void) => Promise<void>;
}

type Handler<M extends Method> = (
  context: RequestContext,
  params: JsonObject,
  call: Call,
) => Methods[M]['result'] | Promise<Methods[M]['result']>;

export type Handlers<Names extends Method> = { readonly [M in Names]: Handler<M> };

/** A day: who asks for more has mistyped. */
const longestStop = 86_400;

const handlers: Handlers<Method> = {
  ...schedulerRequests,
  ...guestRequests,
  ...migrationRequests,
  hello: ({ pid, manager }) => ({ version: protocolVersion, pid, domains: manager.domains().length }),
  list: (context, params) => ({
    domains: selected(context, read.optionalDomid(params)).map((control) => summary(context, control)),
  }),
  configs: (context, params) => ({
    configs: selected(context, read.optionalDomid(params)).map(({ domid }) => ({
      domid,
      config: retrieveConfig(context, domid),
    })),
  }),
  vcpus: (context, params) => {
    const domids = read.domids(params);
    const domains =
      domids === undefined ? context.hypervisor.domains() : domids.flatMap((domid) => selected(context, domid));
    return {
      vcpus: domains.flatMap((control) => vcpuSummaries(context, control)),
      cpus: context.hypervisor.physInfo().nrCpus,
    };
  },
  profile,
  info: ({ hypervisor, pools }) => hostSummary(hypervisor, pools.freeCpus().length),
  statistics: hostStatistics,
  dmesg: ({ hypervisor }, params) => ({ text: hypervisor.readConsole({ clear: read.flag(params, 'clear') }) }),
  domid: ({ manager }, params) => ({ domid: manager.domidOf(read.text(params, 'name')) ?? null }),
  domname: ({ manager }, params) => ({ name: manager.nameOf(read.domid(params)) ?? null }),
  create,
  pause: ({ manager }, params) => done(manager.pause(read.domid(params))),
  unpause: async ({ manager, transit }, params) => {
    const domid = read.domid(params);
    // The copy that is left of a domain that was to be moved.
    if (transit.holds(domid)) return done(await transit.takeBack(domid));
    return done(manager.unpause(domid));
  },
  destroy: async ({ manager }, params) => done(await manager.destroy(read.domid(params))),
  shutdown: async ({ manager }, params) => done(await manager.request(read.domid(params), 'poweroff')),
  reboot: async ({ manager }, params) => done(await manager.request(read.domid(params), 'reboot')),
  rename: ({ manager }, params) => done(manager.rename(read.domid(params), read.text(params, 'name'))),
  sysrq: ({ manager }, params) => done(manager.sendSysrq(read.domid(params), read.text(params, 'letter'))),
  attachDisk: async ({ manager }, params) =>
    done(await manager.devices.attachDisk(read.domid(params), read.device(params, 'disk'))),
  findDisk: ({ xenstore }, params) =>
    done(void diskOf({ xs: xenstore }, read.domid(params), read.text(params, 'vdev'))),
  detachDisk: async ({ manager }, params) =>
    done(await manager.devices.detachDisk(read.domid(params), read.text(params, 'vdev'), read.flag(params, 'force'))),
  disks: ({ manager }, params) => ({ disks: manager.devices.disks(read.domid(params)) }),
  insertCdrom: ({ manager }, params) => done(manager.devices.insertCdrom(read.domid(params))),
  attachNic: async ({ manager }, params) =>
    done(await manager.devices.attachNic(read.domid(params), read.device(params, 'nic'))),
  findNic: ({ xenstore }, params) => done(void nicOf({ xs: xenstore }, read.domid(params), read.text(params, 'which'))),
  detachNic: async ({ manager }, params) =>
    done(await manager.devices.detachNic(read.domid(params), read.text(params, 'which'))),
  channels: ({ manager }, params) => ({ channels: manager.devices.channels(read.domid(params)) }),
  nics: ({ manager }, params) => ({ nics: manager.devices.nics(read.domid(params)) }),
  watchDeaths,
  attachConsole: async (context, params, call) => {
    const domid = read.domid(params);
    const num = params['num'] === undefined ? 0 : read.count(params, 'num', -0x80000000, 0x7fffffff);
    const console = await consoleInTime(context, domid, num);
    if (console === undefined)
      throw new LibxlError('FAIL', ['xenconsole: Could not read tty from store: No such file or directory']);
    call.attach(console.attach('domain'));
    return {};
  },
  xenstoreNode: ({ xenstore }, params) => {
    const path = read.text(params, 'path');
    const children = xenstore.ls(path);
    if (children === undefined) return { node: null };
    return { node: { value: xenstore.read(path) ?? '', perms: xenstore.getPerms(path) ?? '', children } };
  },
  egress: (context, params) => listEgress(context, params),
  setEgress: async (context, params) => done(await setEgress(context, params)),
  forwards: ({ network }) => ({ forwards: listForwards(network) }),
  addForward: ({ network }, params) => addForward(network, params),
  removeForward: async ({ network }, params) => done(await removeForward(network, params)),
  stop: async ({ stop }, params, call) => {
    const seconds = params['seconds'] === undefined ? 0 : read.count(params, 'seconds', 0, longestStop);
    return done(await stop(seconds * 1000, (line) => call.event({ stopping: line })));
  },
};

export async function handle(
  context: RequestContext,
  method: string,
  params: JsonObject,
  call: Call,
): Promise<JsonObject> {
  if (!Object.hasOwn(handlers, method))
    throw new LibxlError('NOT_READY', [`xl: the daemon does not know the request "${method}"`]);
  const run = handlers[method as Method] as (c: RequestContext, p: JsonObject, call: Call) => unknown;
  try {
    return (await run(context, params, call)) as JsonObject;
  } catch (error) {
    // Names and paths of a request that no node can have.
    if (error instanceof XenstoreError) throw new XenError(error.message, { cause: error });
    throw error;
  }
}

function done(_: void): Record<never, never> {
  return {};
}

function create(context: RequestContext, params: JsonObject, call: Call): Promise<{ domid: number }> {
  const verbose = read.flag(params, 'verbose');
  return startDomain(context, params, call, verbose ? { log: (log) => call.event({ log }) } : {});
}

/** Makes a domain of `config`, lets it run unless it is to be `paused`, and stays with it where a `monitor` is wanted. */
export async function startDomain(
  context: RequestContext,
  params: JsonObject,
  call: Call,
  options: CreateOptions,
): Promise<{ domid: number }> {
  const config = read.config(params);
  const paused = read.flag(params, 'paused');
  const foreground = read.flag(params, 'foreground');
  const { manager } = context;
  const domain = await manager.create(config, options);
  if (!paused) manager.unpause(domain.domid);
  if (!read.flag(params, 'monitor')) return { domid: domain.domid };
  if (foreground) {
    call.event({ created: domain.domid });
    await watch(context, domain, { line: (line) => call.event({ monitor: line }), close: () => undefined });
  } else {
    watch(context, domain).catch(context.onError);
  }
  return { domid: domain.domid };
}

/** What xl's process does that stays with a domain. */
export function watch(context: RequestContext, domain: ManagedDomain, log?: MonitorLog): Promise<void> {
  const { manager, clock, pid, openLog, dumps } = context;
  return monitor(domain, { manager, clock, pid, log: log ?? openLog(domain.name), dumps });
}

function watchDeaths({ manager }: RequestContext, params: JsonObject, call: Call): Record<never, never> {
  const domids = new Set(read.domids(params));
  const stop = manager.onEvent((event) => {
    if (!domids.has(event.domid) || !isEnd(event)) return;
    call.event({ death: event.kind, domid: event.domid, reason: event.kind === 'shutdown' ? event.reason : 0 });
  });
  call.onGone(stop);
  return {};
}

function selected({ hypervisor }: RequestContext, domid: number | undefined): readonly DomainControl[] {
  if (domid === undefined) return hypervisor.domains();
  const control = hypervisor.domain(domid);
  return control === undefined ? [] : [control];
}

const pageKiB = 4;

function summary({ manager, pools, startTime }: RequestContext, control: DomainControl): DomainSummary {
  const info = control.info();
  const { domid } = control;
  return {
    domid,
    name: manager.nameOf(domid) ?? '(null)',
    uuid: formatUuid(info.handle),
    memKiB: info.totPages * pageKiB,
    maxMemKiB: info.maxPages * pageKiB,
    vcpusOnline: info.nrOnlineVcpus,
    running: info.running,
    blocked: info.blocked,
    paused: info.paused,
    shutdown: info.shutdown,
    dying: info.dying,
    shutdownReason: info.shutdownReason ?? 0,
    cpuTimeNs: info.cpuTimeNs,
    cpuPool: pools.poolOf(domid).name,
    startTime: manager.domain(domid)?.startTime ?? startTime,
  };
}

function vcpuSummaries({ manager, scheduling }: RequestContext, control: DomainControl): VcpuSummary[] {
  const { domid } = control;
  const name = manager.nameOf(domid) ?? '(null)';
  const summaries: VcpuSummary[] = [];
  for (let vcpu = 0; vcpu <= control.info().maxVcpuId; vcpu++) {
    const info = control.vcpuInfo(vcpu);
    if (info !== undefined) summaries.push({ domid, name, ...info, affinity: scheduling.affinity(domid, vcpu) });
  }
  return summaries;
}
