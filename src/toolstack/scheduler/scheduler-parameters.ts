/** What there is to set about scheduling, with libxl's limits and words (xen/tools/libs/light/libxl_sched.c). */
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';

/** xen/include/public/domctl.h, XEN_SCHEDULER_*; a release build of Xen has two of them (xen/common/sched/Kconfig). */
export const schedulers = {
  sedf: { available: false },
  credit: { available: true },
  credit2: { available: true },
  arinc653: { available: false },
  rtds: { available: false },
  null: { available: false },
} as const;
export type SchedulerName = keyof typeof schedulers;

export function isScheduler(name: string): name is SchedulerName {
  return Object.hasOwn(schedulers, name);
}

/** Of a CPU pool: what credit and credit2 have, in one. */
export interface PoolParameters {
  readonly tsliceMs: number;
  readonly ratelimitUs: number;
  readonly migrationDelayUs: number;
}

/** xen/include/public/sysctl.h and Xen's own defaults. */
export const defaultParameters: PoolParameters = { tsliceMs: 30, ratelimitUs: 1000, migrationDelayUs: 0 };
const tsliceRange = { least: 1, most: 1000 };
const ratelimitRange = { least: 100, most: 500_000 };
const mostMigrationDelay = 100_000;

/** Of a domain. */
export interface DomainParameters {
  readonly weight: number;
  readonly cap: number;
}

export const defaultDomainParameters: DomainParameters = { weight: 256, cap: 0 };
const weightRange = { least: 1, most: 65535 };
const capOfVcpu = 100;

/** libxl's "leave it as it is" (LIBXL_DOMAIN_SCHED_PARAM_*_DEFAULT). */
const asItIs = { weight: -1, cap: -1 };

function refuse(where: Parameters<typeof libxlLine>[0], text: string): never {
  throw new LibxlError('INVAL', [libxlLine(where, text)]);
}

/** libxl_sched_credit_params_set */
export function checkCredit(wanted: PoolParameters): PoolParameters {
  const { tsliceMs, ratelimitUs, migrationDelayUs } = wanted;
  if (tsliceMs < tsliceRange.least || tsliceMs > tsliceRange.most) {
    const range = `from ${tsliceRange.least} to ${tsliceRange.most}`;
    refuse('libxl_sched_credit_params_set_slice', `Time slice out of range, valid range is ${range}`);
  }
  checkRatelimit(ratelimitUs);
  if (ratelimitUs > tsliceMs * 1000)
    refuse('libxl_sched_credit_params_set_limit', 'Ratelimit cannot be greater than timeslice');
  if (migrationDelayUs < 0 || migrationDelayUs > mostMigrationDelay)
    refuse('libxl_sched_credit_params_set_delay', `vcpu migration delay should be >= 0 and <= ${mostMigrationDelay}us`);
  return wanted;
}

export function checkRatelimit(ratelimitUs: number): number {
  const { least, most } = ratelimitRange;
  if (ratelimitUs !== 0 && (ratelimitUs < least || ratelimitUs > most))
    refuse('sched_ratelimit_check', `Ratelimit out of range, valid range is from ${least} to ${most}`);
  return ratelimitUs;
}

/** sched_credit_domain_set and its twin of credit2: what is not given, or given as -1, stays. */
export function checkDomain(
  scheduler: 'credit' | 'credit2',
  domid: number,
  vcpus: number,
  now: DomainParameters,
  wanted: { readonly weight?: number | undefined; readonly cap?: number | undefined },
): DomainParameters {
  const { weight = asItIs.weight, cap = asItIs.cap } = wanted;
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  const most = vcpus * capOfVcpu;
  if (weight !== asItIs.weight && (weight < weightRange.least || weight > weightRange.most)) {
    const text = `valid values are within range from ${weightRange.least} to ${weightRange.most}`;
    refuse(`sched_${scheduler}_domain_set_weight`, `${prefix}Cpu weight out of range, ${text}`);
  }
  if (cap !== asItIs.cap && (cap < 0 || cap > most)) {
    const text = `valid range is from 0 to ${most} for specified number of vcpus`;
    refuse(`sched_${scheduler}_domain_set_cap`, `${prefix}Cpu cap out of range, ${text}`);
  }
  return {
    weight: weight === asItIs.weight ? now.weight : weight,
    cap: cap === asItIs.cap ? now.cap : cap,
  };
}
