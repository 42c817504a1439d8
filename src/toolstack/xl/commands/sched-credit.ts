/** `xl sched-credit` and `xl sched-credit2`: weights and caps of domains, and what a CPU pool's scheduler goes by. */
import { strtol } from '../../config/numbers.ts';
import type { PoolSummary } from '../../scheduler/cpu-pools.ts';
import { attempt, Exit, findDomain, readArguments, type Invocation } from '../command.ts';
import { cpuPools, findPool } from '../cpu-pools.ts';
import { domainRow, headRow, poolsOf } from '../scheduling-table.ts';

const common = { domain: 'd:', weight: 'w:', cap: 'c:', schedparam: 's', ratelimit_us: 'r:', cpupool: 'p:' };

/** Options of the pool: letter → what is set by it. */
const kinds = {
  'sched-credit': {
    scheduler: 'credit',
    rules: { short: 'd:w:c:p:t:r:m:s', long: { ...common, tslice_ms: 't:', migration_delay_us: 'm:' } },
    poolOptions: { t: 'tsliceMs', r: 'ratelimitUs', m: 'migrationDelayUs' },
    line: ({ name, parameters: p }: PoolSummary): string =>
      `Cpupool ${name}: tslice=${p.tsliceMs}ms ratelimit=${p.ratelimitUs}us migration-delay=${p.migrationDelayUs}us\n`,
  },
  'sched-credit2': {
    scheduler: 'credit2',
    rules: { short: 'd:w:c:p:r:s', long: common },
    poolOptions: { r: 'ratelimitUs' },
    line: ({ name, parameters: p }: PoolSummary): string => `Cpupool ${name}: ratelimit=${p.ratelimitUs}us\n`,
  },
} as const;
type Kind = (typeof kinds)[keyof typeof kinds];
type Options = Awaited<ReturnType<typeof readArguments>>;

export async function run(invocation: Invocation): Promise<number> {
  const kind: Kind = invocation.name === 'sched-credit' ? kinds['sched-credit'] : kinds['sched-credit2'];
  const options = await readArguments(invocation, kind.rules, 0);
  check(invocation, kind, options);
  const { has, valueOf } = options;
  if (has('s')) return ofPool(invocation, kind, options);
  const domain = valueOf('d');
  if (domain === undefined) return list(invocation, kind, valueOf('p'));
  const domid = await findDomain(invocation, domain);
  if (has('w') || has('c')) return setDomain(invocation, kind, domid, options);
  invocation.out(headRow());
  return (await domainRow(invocation, kind.scheduler, domid)) ? 0 : 1;
}

function check({ err }: Invocation, { scheduler, poolOptions }: Kind, { has }: Options): void {
  const credit = scheduler === 'credit';
  const ofDomain = has('d') || has('w') || has('c');
  const refuse = (line: string): never => {
    err(line);
    throw new Exit(1);
  };
  if (credit && (has('p') || has('s')) && ofDomain)
    refuse('Specifying a cpupool or schedparam is not allowed with domain options.');
  if (!credit && has('p') && ofDomain) refuse('Specifying a cpupool is not allowed with other options.');
  if (!has('d') && (has('w') || has('c'))) refuse('Must specify a domain.');
  if (credit && !has('s') && Object.keys(poolOptions).some((letter) => has(letter)))
    refuse('Must specify schedparam to set schedule parameter values.');
}

async function ofPool(invocation: Invocation, kind: Kind, { valueOf }: Options): Promise<number> {
  const name = valueOf('p');
  const { pools } = await cpuPools(invocation);
  const pool = name === undefined ? pools[0] : await findPool(invocation, name);
  if (pool === undefined) return 1;
  const { scheduler } = kind;
  const wanted = Object.entries(kind.poolOptions).flatMap(([letter, member]) => {
    const text = valueOf(letter);
    return text === undefined ? [] : [[member, toInt(text)] as const];
  });
  const fits = pool.scheduler === scheduler;
  if (wanted.length === 0) {
    invocation.out(fits ? kind.line(pool) : `Cpupool ${pool.name}: [sched params unavailable]\n`);
    return 0;
  }
  const client = await invocation.daemon();
  const request = { poolid: pool.poolid, scheduler, ...Object.fromEntries(wanted) };
  const failure = fits ? await attempt(invocation, () => client.call('setPoolParameters', request)) : -1;
  if (failure === undefined) return 0;
  const what = fits || scheduler === 'credit2' ? 'set' : 'get';
  invocation.err(`libxl_sched_${scheduler}_params_${what} failed.`);
  return 1;
}

async function list(invocation: Invocation, { scheduler, line }: Kind, only: string | undefined): Promise<number> {
  for (const pool of await poolsOf(invocation, scheduler, only)) {
    invocation.out(`${line(pool)}${headRow()}`);
    for (const domid of pool.domains) if (!(await domainRow(invocation, scheduler, domid))) return 0;
  }
  return 0;
}

async function setDomain(
  invocation: Invocation,
  { scheduler }: Kind,
  domid: number,
  { valueOf }: Options,
): Promise<number> {
  const client = await invocation.daemon();
  const [weight, cap] = [valueOf('w'), valueOf('c')];
  const request = {
    domid,
    scheduler,
    ...(weight === undefined ? {} : { weight: toInt(weight) }),
    ...(cap === undefined ? {} : { cap: toInt(cap) }),
  };
  if ((await attempt(invocation, () => client.call('setDomainParameters', request))) === undefined) return 0;
  invocation.err('libxl_domain_sched_params_set failed.');
  return 1;
}

/** strtol(3) into an int. */
function toInt(text: string): number {
  return strtol(text, 10).value | 0;
}
