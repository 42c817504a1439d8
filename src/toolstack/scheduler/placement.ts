/** What a configuration says about where and how much its domain may run: `pool`, `cpu_weight`, `cap`, `cpus`, `cpus_soft`. */
import type { DomainConfig } from '../config/domain-config.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import type { SchedulingService } from '../domain/services.ts';
import type { CpuPools } from './cpu-pools.ts';
import type { Scheduling } from './scheduling.ts';

export function placement(pools: CpuPools, scheduling: Scheduling): SchedulingService {
  const poolOf = (name: string | undefined): number | undefined =>
    name === undefined ? 0 : (pools.find(name)?.poolid ?? byNumber(pools, name));
  return {
    check({ c_info: { pool_name } }) {
      if (poolOf(pool_name) !== undefined) return;
      const line = libxlLine('libxl__domain_config_setdefault', `Illegal pool specified: ${pool_name ?? ''}`);
      throw new LibxlError('INVAL', [line]);
    },
    admit(domid, config) {
      const poolid = poolOf(config.c_info.pool_name) ?? 0;
      if (poolid !== 0) pools.move(domid, poolid);
      pin(scheduling, domid, config);
      const { weight, cap } = config.b_info.sched_params;
      scheduling.setParameters(domid, undefined, { weight, cap });
    },
    forget(domid) {
      pools.forget(domid);
      scheduling.forget(domid);
    },
  };
}

/** libxl_cpupool_qualifier_to_cpupoolid: a number is one that there is. */
export function byNumber(pools: Pick<CpuPools, 'list'>, text: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined;
  return pools.list().find(({ poolid }) => poolid === Number(text))?.poolid;
}

function pin(scheduling: Scheduling, domid: number, { b_info }: DomainConfig): void {
  const { vcpu_hard_affinity: hard = [], vcpu_soft_affinity: soft = [] } = b_info;
  for (let vcpu = 0; vcpu < Math.max(hard.length, soft.length); vcpu++) {
    const [must, should] = [hard[vcpu], soft[vcpu]];
    if (must === undefined && should === undefined) continue;
    try {
      scheduling.pin(domid, vcpu, {
        ...(must === undefined ? {} : { hard: must }),
        ...(should === undefined ? {} : { soft: should }),
      });
    } catch (error) {
      if (!(error instanceof LibxlError)) throw error;
      const failed = libxlLine('libxl__build_pre', `setting affinity failed on vcpu \`${vcpu}'`);
      throw new LibxlError('FAIL', [...error.lines, failed]);
    }
  }
}
