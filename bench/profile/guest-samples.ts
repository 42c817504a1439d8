/** Samples where a guest is: what its own profiler would show, taken from outside. */
import { S } from '../../src/cpu/index.ts';
import type { HypervisorControl } from '../../src/hypervisor/control.ts';
import { DomainControlOf } from '../../src/hypervisor/domain-control.ts';
import { cpuRegionAt } from '../../src/hypervisor/domain-memory.ts';

const INTERVAL_MS = 1;

export class GuestSamples {
  readonly #control: DomainControlOf;
  readonly #ripAt: number;
  readonly #timer: NodeJS.Timeout;
  #counts = new Map<string, number>();
  #seen = -1;

  /** Of the first vCPU, from now on. */
  constructor(hypervisor: HypervisorControl, domid: number) {
    const control = hypervisor.domain(domid);
    if (!(control instanceof DomainControlOf)) throw new Error(`domain ${domid} is none that has vCPUs here`);
    this.#control = control;
    this.#ripAt = cpuRegionAt(control.domain.layout, 0) + S.rip;
    this.#timer = setInterval(() => this.#sample(), INTERVAL_MS);
  }

  /** The processor keeps RIP in memory whenever it leaves guest code: after 50,000 instructions, or earlier by a fault or a hypercall. */
  #sample(): void {
    const info = this.#control.vcpuInfo(0);
    if (info === undefined || info.blocked || info.instructions === this.#seen) return;
    this.#seen = info.instructions;
    const va = Number(this.#control.frames.dataView.getBigInt64(this.#ripAt, true));
    const what = va >= 0 ? 'user mode' : (this.#control.symbolize?.(va)?.name ?? 'kernel, no symbol');
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** What was sampled since the last call: shares by kernel function, most first. */
  take(): readonly { readonly what: string; readonly share: number }[] {
    const counts = [...this.#counts];
    this.#counts = new Map();
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    return counts.map(([what, count]) => ({ what, share: count / total })).sort((a, b) => b.share - a.share);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
