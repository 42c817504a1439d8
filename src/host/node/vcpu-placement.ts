/** Where and how much vCPUs' threads run: their places in the run queue, and the processors that the host's kernel lets them use. */
import type { DomainScheduling } from '../../hypervisor/control.ts';
import { MAX_UNITS, RunQueueMemory } from '../../hypervisor/sched/run-queue-memory.ts';
import { RunQueue, type UnitPlacement } from '../../hypervisor/sched/run-queue.ts';
import { HostCpus } from './host-cpus.ts';
import type { ScheduleStart } from './vcpu-messages.ts';

/** What a domain has of which nobody has said anything. */
const ordinary = { weight: 256, cap: 0, ratelimitUs: 1000, cpus: [] } as const satisfies DomainScheduling;

interface Thread {
  readonly unit: number | undefined;
  tid: number | undefined;
}

interface Placed {
  /** Its number in the run queue. */
  readonly index: number;
  scheduling: DomainScheduling;
  readonly threads: Map<number, Thread>;
}

export class VcpuPlacement {
  readonly #nrCpus: number;
  readonly #queue: RunQueue;
  readonly #cpus: HostCpus;
  readonly #warn: (line: string) => void;
  readonly #domains = new Map<number, Placed>();
  #warned = false;

  constructor(nrCpus: number, warn: (line: string) => void, cpus = new HostCpus()) {
    this.#nrCpus = nrCpus;
    this.#queue = new RunQueue(new RunQueueMemory(nrCpus));
    this.#cpus = cpus;
    this.#warn = warn;
  }

  set(domid: number, scheduling: DomainScheduling): void {
    const domain = this.#domain(domid);
    if (domain === undefined) return;
    domain.scheduling = scheduling;
    this.#queue.setCap(domain.index, scheduling.cap);
    for (const [vcpu, thread] of domain.threads) {
      if (thread.unit !== undefined) this.#queue.place(thread.unit, this.#placementOf(domain, vcpu));
      this.#confine(domain, vcpu);
    }
  }

  /** A thread for a vCPU begins. */
  add(domid: number, vcpu: number): ScheduleStart {
    const domain = this.#domain(domid);
    const unit = domain && this.#queue.add(domain.index, this.#placementOf(domain, vcpu));
    domain?.threads.set(vcpu, { unit, tid: undefined });
    return { queue: this.#queue.memory.buffer, nrCpus: this.#nrCpus, unit };
  }

  /** The thread has told what the host's kernel calls it. */
  named(domid: number, vcpu: number, tid: number): void {
    const domain = this.#domains.get(domid);
    const thread = domain?.threads.get(vcpu);
    if (domain === undefined || thread === undefined) return;
    thread.tid = tid;
    this.#confine(domain, vcpu);
  }

  /** The domain's threads are to end, whatever they wait for. */
  rouse(domid: number): void {
    for (const { unit } of this.#domains.get(domid)?.threads.values() ?? [])
      if (unit !== undefined) this.#queue.rouse(unit);
  }

  /** A thread has ended: nobody else waits for its processor. */
  ended(domid: number, vcpu: number): void {
    const unit = this.#domains.get(domid)?.threads.get(vcpu)?.unit;
    if (unit !== undefined) this.#queue.ended(unit);
  }

  /** All the domain's threads have ended. */
  forget(domid: number): void {
    for (const { unit } of this.#domains.get(domid)?.threads.values() ?? [])
      if (unit !== undefined) this.#queue.remove(unit);
    this.#domains.delete(domid);
  }

  ranNs(domid: number, vcpu: number): number | undefined {
    const unit = this.#domains.get(domid)?.threads.get(vcpu)?.unit;
    return unit === undefined ? undefined : this.#queue.memory.time(unit, 'ran');
  }

  cpuOf(domid: number, vcpu: number): number | undefined {
    const { unit, tid } = this.#domains.get(domid)?.threads.get(vcpu) ?? {};
    const last = tid === undefined ? undefined : this.#cpus.lastOf(tid);
    return last ?? (unit === undefined ? undefined : this.#queue.memory.unit(unit, 'cpu'));
  }

  #domain(domid: number): Placed | undefined {
    const known = this.#domains.get(domid);
    if (known !== undefined) return known;
    const taken = new Set([...this.#domains.values()].map(({ index }) => index));
    let index = 0;
    while (taken.has(index)) index++;
    if (index >= MAX_UNITS) return undefined;
    const domain: Placed = { index, scheduling: ordinary, threads: new Map<number, Thread>() };
    this.#queue.setCap(index, domain.scheduling.cap);
    this.#domains.set(domid, domain);
    return domain;
  }

  #placementOf({ scheduling }: Placed, vcpu: number): UnitPlacement {
    const { weight, ratelimitUs } = scheduling;
    return { weight, ratelimitUs, cpus: this.#cpusOf(scheduling, vcpu) };
  }

  #cpusOf({ cpus }: DomainScheduling, vcpu: number): readonly number[] {
    const own = cpus[vcpu] ?? [];
    return own.length > 0 ? own : Array.from({ length: this.#nrCpus }, (_, cpu) => cpu);
  }

  #confine(domain: Placed, vcpu: number): void {
    const tid = domain.threads.get(vcpu)?.tid;
    if (tid === undefined || this.#cpus.confine(tid, this.#cpusOf(domain.scheduling, vcpu)) || this.#warned) return;
    this.#warned = true;
    this.#warn('the host does not say where threads run: affinities bound how much vCPUs run, not where');
  }
}
