/**
 * CPU pools: which of the host's processors belong together, and which domains run there (xen/common/sched/cpupool.c, and what libxl
 * keeps of it in xenstore). A processor belongs to one pool or to none; a pool that domains are in has at least one.
 */
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { defaultParameters, schedulers, type PoolParameters, type SchedulerName } from './scheduler-parameters.ts';

export interface CpuPool {
  readonly poolid: number;
  name: string;
  readonly scheduler: SchedulerName;
  readonly cpus: Set<number>;
  parameters: PoolParameters;
}

export interface PoolSummary {
  readonly poolid: number;
  readonly name: string;
  readonly scheduler: SchedulerName;
  /** Ascending. */
  readonly cpus: readonly number[];
  readonly domains: readonly number[];
  readonly parameters: PoolParameters;
}

/** What pools need to know of the host. */
export interface PoolHost {
  readonly nrCpus: number;
  /** All domains there are, ascending. */
  domids(): readonly number[];
}

/** As many as could have a processor of their own, and some without. */
const maxPools = 1024;

/** xc's -1 where libxl takes a return value for an error number. */
const unknownError = 'Unknown error -1';

export class CpuPools {
  readonly #host: PoolHost;
  readonly #xs: Xenstore;
  readonly #pools = new Map<number, CpuPool>();
  /** Domains that are elsewhere than in pool 0. */
  readonly #poolOf = new Map<number, number>();
  /** Hears of domains whose pool, or what there is to it, has changed. */
  onChange: (domids: readonly number[]) => void = () => undefined;

  constructor(host: PoolHost, xs: Xenstore, scheduler: SchedulerName) {
    this.#host = host;
    this.#xs = xs;
    const cpus = new Set(Array.from({ length: host.nrCpus }, (_, cpu) => cpu));
    this.#pools.set(0, { poolid: 0, name: 'Pool-0', scheduler, cpus, parameters: defaultParameters });
  }

  list(): readonly PoolSummary[] {
    return [...this.#pools.values()]
      .sort((a, b) => a.poolid - b.poolid)
      .map(({ poolid, name, scheduler, cpus, parameters }) => ({
        poolid,
        name,
        scheduler,
        cpus: [...cpus].sort((a, b) => a - b),
        domains: this.#domainsOf(poolid),
        parameters,
      }));
  }

  freeCpus(): readonly number[] {
    const taken = new Set([...this.#pools.values()].flatMap(({ cpus }) => [...cpus]));
    return Array.from({ length: this.#host.nrCpus }, (_, cpu) => cpu).filter((cpu) => !taken.has(cpu));
  }

  pool(poolid: number): CpuPool {
    const pool = this.#pools.get(poolid);
    if (pool === undefined) throw new LibxlError('INVAL', [], `there is no CPU pool ${poolid}`);
    return pool;
  }

  /** By name. */
  find(name: string): CpuPool | undefined {
    return [...this.#pools.values()].find((pool) => pool.name === name);
  }

  poolOf(domid: number): CpuPool {
    return this.pool(this.#poolOf.get(domid) ?? 0);
  }

  create(name: string, scheduler: SchedulerName, cpus: readonly number[], uuid: string): number {
    if (!schedulers[scheduler].available || this.#pools.size >= maxPools)
      throw new LibxlError('FAIL', [libxlLine('libxl_cpupool_create', `Could not create cpupool: ${unknownError}`)]);
    const free = this.freeCpus();
    if (!cpus.every((cpu) => free.includes(cpu)))
      throw new LibxlError('FAIL', [
        libxlLine('libxl_cpupool_create_move', `Error moving cpu to cpupool: ${unknownError}`),
      ]);
    let poolid = 1;
    while (this.#pools.has(poolid)) poolid++;
    this.#pools.set(poolid, { poolid, name, scheduler, cpus: new Set(cpus), parameters: defaultParameters });
    this.#xs.write(`/local/pool/${poolid}/uuid`, uuid);
    this.#xs.write(`/local/pool/${poolid}/name`, name);
    return poolid;
  }

  /** Its processors are free then. */
  destroy(poolid: number): void {
    const { cpus } = this.pool(poolid);
    if (this.#domainsOf(poolid).length > 0) throw new LibxlError('INVAL', [], 'there are domains in the CPU pool');
    if (poolid === 0) {
      // Xen keeps its first pool; libxl notices when the processors are gone already.
      cpus.clear();
      throw new LibxlError('FAIL', [libxlLine('libxl_cpupool_destroy', `Could not destroy cpupool: ${unknownError}`)]);
    }
    this.#pools.delete(poolid);
    this.#xs.rm(`/local/pool/${poolid}`);
  }

  rename(poolid: number, name: string): void {
    this.pool(poolid).name = name;
    this.#xs.write(`/local/pool/${poolid}/name`, name);
  }

  addCpu(poolid: number, cpu: number): void {
    const { cpus } = this.pool(poolid);
    if (!this.freeCpus().includes(cpu)) {
      const why = cpu < this.#host.nrCpus ? 'Device or resource busy' : 'Invalid argument';
      throw new LibxlError('FAIL', [libxlLine('libxl_cpupool_cpuadd', `Error moving cpu ${cpu} to cpupool: ${why}`)]);
    }
    cpus.add(cpu);
    this.#changed(poolid);
  }

  removeCpu(poolid: number, cpu: number): void {
    const { cpus } = this.pool(poolid);
    if (cpus.has(cpu) && cpus.size === 1 && this.#domainsOf(poolid).length > 0)
      throw new LibxlError('FAIL', [
        libxlLine('libxl_cpupool_cpuremove', `Error removing cpu ${cpu} from cpupool: Device or resource busy`),
      ]);
    cpus.delete(cpu);
    this.#changed(poolid);
  }

  setParameters(poolid: number, parameters: PoolParameters): void {
    this.pool(poolid).parameters = parameters;
    this.#changed(poolid);
  }

  /** Domain 0 cannot move itself. A pool without processors takes nobody in. */
  move(domid: number, poolid: number): void {
    if (domid === 0 || this.pool(poolid).cpus.size === 0) {
      const prefix = domid === 0 ? '' : `Domain ${domid}:`;
      throw new LibxlError('FAIL', [
        libxlLine('libxl_cpupool_movedomain', `${prefix}Error moving domain to cpupool: ${unknownError}`),
      ]);
    }
    if (poolid === 0) this.#poolOf.delete(domid);
    else this.#poolOf.set(domid, poolid);
    this.onChange([domid]);
  }

  /** The domain is gone. */
  forget(domid: number): void {
    this.#poolOf.delete(domid);
  }

  #changed(poolid: number): void {
    this.onChange(this.#domainsOf(poolid));
  }

  #domainsOf(poolid: number): readonly number[] {
    return this.#host.domids().filter((domid) => (this.#poolOf.get(domid) ?? 0) === poolid);
  }
}
