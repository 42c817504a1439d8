/** Requests about CPU pools, scheduling parameters and affinities; a part of protocol.ts. */
import type { PoolSummary } from '../scheduler/cpu-pools.ts';
import type { Affinity } from '../scheduler/scheduling.ts';

export interface SchedulingSummary {
  readonly domid: number;
  readonly name: string;
  readonly poolid: number;
  readonly scheduler: string;
  readonly weight: number;
  readonly cap: number;
}

type Nothing = Record<never, never>;

export interface SchedulerMethods {
  cpuPools: { params: Nothing; result: { pools: readonly PoolSummary[]; freeCpus: readonly number[]; cpus: number } };
  createCpuPool: { params: { name: string; scheduler: string; cpus: readonly number[] }; result: { poolid: number } };
  destroyCpuPool: { params: { poolid: number }; result: Nothing };
  renameCpuPool: { params: { poolid: number; name: string }; result: Nothing };
  addPoolCpu: { params: { poolid: number; cpu: number }; result: Nothing };
  removePoolCpu: { params: { poolid: number; cpu: number }; result: Nothing };
  moveDomain: { params: { domid: number; poolid: number }; result: Nothing };
  /** What is not given stays. */
  setPoolParameters: {
    params: {
      poolid: number;
      scheduler: 'credit' | 'credit2';
      tsliceMs?: number;
      ratelimitUs?: number;
      migrationDelayUs?: number;
    };
    result: Nothing;
  };
  /** Of all domains, ascending by domid. */
  scheduling: { params: Nothing; result: { domains: readonly SchedulingSummary[] } };
  setDomainParameters: {
    params: { domid: number; scheduler: 'credit' | 'credit2'; weight?: number; cap?: number };
    result: Nothing;
  };
  pinVcpu: { params: { domid: number; vcpu: number; hard?: Affinity; soft?: Affinity }; result: Nothing };
}
