/** What the `sched-*` commands print about domains. */
import type { PoolSummary } from '../scheduler/cpu-pools.ts';
import type { Invocation } from './command.ts';
import { cpuPools, findPool } from './cpu-pools.ts';

export function headRow(): string {
  return row('Name', 'ID', 'Weight', 'Cap');
}

/** False where the domain has another scheduler, or is none; that has been said then. */
export async function domainRow(invocation: Invocation, scheduler: string, domid: number): Promise<boolean> {
  const client = await invocation.daemon();
  const { domains } = await client.call('scheduling', {});
  const domain = domains.find((candidate) => candidate.domid === domid);
  if (domain === undefined) {
    invocation.err('libxl_domain_sched_params_get failed.');
    return false;
  }
  if (domain.scheduler !== scheduler) {
    invocation.err(`libxl_domain_sched_params_get returned ${domain.scheduler} not ${scheduler}.`);
    return false;
  }
  invocation.out(row(domain.name, domain.domid, domain.weight, domain.cap));
  return true;
}

/** CPU pools with this scheduler; of a name, that one if it has it. */
export async function poolsOf(
  invocation: Invocation,
  scheduler: string,
  only: string | undefined,
): Promise<readonly PoolSummary[]> {
  const wanted = only === undefined ? undefined : await findPool(invocation, only);
  const { pools } = await cpuPools(invocation);
  return pools.filter(
    (pool) => pool.scheduler === scheduler && (wanted === undefined || wanted.poolid === pool.poolid),
  );
}

function row(name: string, id: string | number, weight: string | number, cap: string | number): string {
  return `${name.padEnd(33)} ${String(id).padStart(4)} ${String(weight).padStart(6)} ${String(cap).padStart(4)}\n`;
}
