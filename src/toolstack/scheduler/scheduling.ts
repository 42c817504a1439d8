/**
 * What the toolstack can set about when and where vCPUs run: weights and caps of domains, and which processors a vCPU may or should run on.
 * It is kept, checked and shown as Xen does, and the hypervisor is told what comes of it. Where a vCPU should run is shown only.
 */
import type { DomainScheduling } from '../../hypervisor/control.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import type { CpuPools } from './cpu-pools.ts';
import { checkDomain, defaultDomainParameters, type DomainParameters } from './scheduler-parameters.ts';

/** Processors by number, ascending; `all` is what a vCPU has that was never pinned. */
export type Affinity = 'all' | readonly number[];

export interface VcpuAffinity {
  readonly hard: Affinity;
  readonly soft: Affinity;
}

const anywhere: VcpuAffinity = { hard: 'all', soft: 'all' };

/** How many vCPUs a domain can have; undefined: there is no such domain. */
export type VcpusOf = (domid: number) => number | undefined;
/** Makes the hypervisor act by it. */
export type Act = (domid: number, scheduling: DomainScheduling) => void;

export class Scheduling {
  readonly #pools: CpuPools;
  readonly #nrCpus: number;
  readonly #vcpusOf: VcpusOf;
  readonly #act: Act;
  readonly #parameters = new Map<number, DomainParameters>();
  readonly #affinity = new Map<number, Map<number, VcpuAffinity>>();

  constructor(pools: CpuPools, nrCpus: number, vcpusOf: VcpusOf, act: Act) {
    this.#pools = pools;
    this.#nrCpus = nrCpus;
    this.#vcpusOf = vcpusOf;
    this.#act = act;
    pools.onChange = (domids) => {
      for (const domid of domids) this.#apply(domid);
    };
  }

  parameters(domid: number): DomainParameters {
    return this.#parameters.get(domid) ?? defaultDomainParameters;
  }

  /** With a scheduler that is not the domain's, Xen refuses; without one, the domain's is meant (libxl_domain_sched_params_set). */
  setParameters(
    domid: number,
    scheduler: 'credit' | 'credit2' | undefined,
    wanted: { readonly weight?: number | undefined; readonly cap?: number | undefined },
  ): void {
    const own = this.#pools.poolOf(domid).scheduler;
    const meant = scheduler ?? (own === 'credit' ? 'credit' : 'credit2');
    const vcpus = this.#vcpusOf(domid);
    if (vcpus === undefined) throw new LibxlError('INVAL', [], `there is no domain ${domid}`);
    if (meant !== own) {
      const prefix = domid === 0 ? '' : `Domain ${domid}:`;
      const text = `${prefix}Getting domain sched ${meant}: Invalid argument`;
      throw new LibxlError('FAIL', [libxlLine(`sched_${meant}_domain_set`, text)]);
    }
    this.#parameters.set(domid, checkDomain(meant, domid, vcpus, this.parameters(domid), wanted));
    this.#apply(domid);
  }

  affinity(domid: number, vcpu: number): VcpuAffinity {
    return this.#affinity.get(domid)?.get(vcpu) ?? anywhere;
  }

  /** libxl_set_vcpuaffinity; what is not given stays. */
  pin(domid: number, vcpu: number, wanted: Partial<VcpuAffinity>): void {
    const vcpus = this.#vcpusOf(domid);
    if (vcpus === undefined) this.#cannotPin(domid, 'No such process');
    const { hard } = wanted;
    const { cpus } = this.#pools.poolOf(domid);
    const unreachable = hard !== undefined && hard !== 'all' && !hard.some((cpu) => cpus.has(cpu));
    if (vcpu >= vcpus || unreachable) this.#cannotPin(domid, 'Invalid argument');
    const all = this.#affinity.get(domid) ?? new Map<number, VcpuAffinity>();
    const now = this.affinity(domid, vcpu);
    all.set(vcpu, {
      hard: this.#normal(wanted.hard ?? now.hard),
      soft: this.#normal(wanted.soft ?? now.soft),
    });
    this.#affinity.set(domid, all);
    this.#apply(domid);
  }

  /** The domain is gone. */
  forget(domid: number): void {
    this.#parameters.delete(domid);
    this.#affinity.delete(domid);
  }

  #apply(domid: number): void {
    const { weight, cap } = this.parameters(domid);
    const { cpus, parameters } = this.#pools.poolOf(domid);
    const vcpus = Array.from({ length: this.#vcpusOf(domid) ?? 0 }, (_, vcpu) => {
      const { hard } = this.affinity(domid, vcpu);
      const own = [...cpus].filter((cpu) => hard === 'all' || hard.includes(cpu));
      // The pool is what counts for a vCPU that was pinned outside of it (xen/common/sched/private.h, cpupool_domain_master_cpumask).
      return own.length > 0 ? own : [...cpus];
    });
    this.#act(domid, { weight, cap, ratelimitUs: parameters.ratelimitUs, cpus: vcpus });
  }

  #normal(affinity: Affinity): Affinity {
    return affinity === 'all' || affinity.length === this.#nrCpus ? 'all' : affinity;
  }

  #cannotPin(domid: number, why: string): never {
    const prefix = domid === 0 ? '' : `Domain ${domid}:`;
    throw new LibxlError('FAIL', [libxlLine('libxl__set_vcpuaffinity', `${prefix}Setting vcpu affinity: ${why}`)]);
  }
}
