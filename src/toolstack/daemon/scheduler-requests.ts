/** What the daemon does for requests about CPU pools, scheduling parameters and affinities. */
import type { JsonObject } from '../config/json.ts';
import { generateUuid } from '../config/uuid.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { checkCredit, checkRatelimit, isScheduler } from '../scheduler/scheduler-parameters.ts';
import type { Affinity } from '../scheduler/scheduling.ts';
import * as read from './parameters.ts';
import type { Handlers, RequestContext } from './requests.ts';
import type { SchedulerMethods } from './scheduler-protocol.ts';

const mostCpus = 4096;
/** C's int, as xl reads its numbers. */
const int = { least: -(2 ** 31), most: 2 ** 31 - 1 } as const;

export const schedulerRequests: Handlers<keyof SchedulerMethods> = {
  cpuPools: ({ pools, hypervisor }) => ({
    pools: pools.list(),
    freeCpus: pools.freeCpus(),
    cpus: hypervisor.physInfo().nrCpus,
  }),
  createCpuPool: ({ pools }, params) => {
    const scheduler = read.text(params, 'scheduler');
    if (!isScheduler(scheduler)) throw new LibxlError('INVAL', [], `there is no scheduler ${scheduler}`);
    return { poolid: pools.create(read.text(params, 'name'), scheduler, cpusOf(params, 'cpus'), generateUuid()) };
  },
  destroyCpuPool: ({ pools }, params) => done(pools.destroy(poolid(params))),
  renameCpuPool: ({ pools }, params) => done(pools.rename(poolid(params), read.text(params, 'name'))),
  addPoolCpu: ({ pools }, params) => done(pools.addCpu(poolid(params), read.count(params, 'cpu', 0, mostCpus))),
  removePoolCpu: ({ pools }, params) => done(pools.removeCpu(poolid(params), read.count(params, 'cpu', 0, mostCpus))),
  moveDomain: ({ pools }, params) => done(pools.move(read.domid(params), poolid(params))),
  setPoolParameters: ({ pools }, params) => {
    const pool = pools.pool(poolid(params));
    const { tsliceMs, ratelimitUs, migrationDelayUs } = pool.parameters;
    const wanted = {
      tsliceMs: optionalInt(params, 'tsliceMs') ?? tsliceMs,
      ratelimitUs: optionalInt(params, 'ratelimitUs') ?? ratelimitUs,
      migrationDelayUs: optionalInt(params, 'migrationDelayUs') ?? migrationDelayUs,
    };
    if (scheduler(params) === 'credit') checkCredit(wanted);
    else checkRatelimit(wanted.ratelimitUs);
    pools.setParameters(pool.poolid, wanted);
    return {};
  },
  scheduling: (context) => ({
    domains: context.hypervisor.domains().map(({ domid }) => {
      const { poolid: pool, scheduler: name } = context.pools.poolOf(domid);
      return {
        domid,
        name: context.manager.nameOf(domid) ?? '(null)',
        poolid: pool,
        scheduler: name,
        ...context.scheduling.parameters(domid),
      };
    }),
  }),
  setDomainParameters: ({ scheduling }, params) => {
    const wanted = { weight: optionalInt(params, 'weight'), cap: optionalInt(params, 'cap') };
    return done(scheduling.setParameters(read.domid(params), scheduler(params), wanted));
  },
  pinVcpu: (context, params) => {
    const [hard, soft] = [affinityOf(context, params, 'hard'), affinityOf(context, params, 'soft')];
    const wanted = { ...(hard === undefined ? {} : { hard }), ...(soft === undefined ? {} : { soft }) };
    return done(context.scheduling.pin(read.domid(params), read.count(params, 'vcpu', 0, int.most), wanted));
  },
};

function poolid(params: JsonObject): number {
  return read.count(params, 'poolid', 0, 0xffffffff);
}

function scheduler(params: JsonObject): 'credit' | 'credit2' {
  return read.text(params, 'scheduler') === 'credit' ? 'credit' : 'credit2';
}

function optionalInt(params: JsonObject, name: string): number | undefined {
  return params[name] === undefined ? undefined : read.count(params, name, int.least, int.most);
}

function cpusOf(params: JsonObject, name: string): readonly number[] {
  return read.numbers(params, name, 0, mostCpus);
}

/** Processors that the host has not are left out, as libxl's bitmap has no place for them. */
function affinityOf({ hypervisor }: RequestContext, params: JsonObject, name: string): Affinity | undefined {
  const value = params[name];
  if (value === undefined || value === 'all') return value;
  return cpusOf(params, name).filter((cpu) => cpu < hypervisor.physInfo().nrCpus);
}

function done(_: void): Record<never, never> {
  return {};
}
