/** Where a guest is: what its own profiler would show, taken from outside. */
import type { HypervisorControl } from '../../src/hypervisor/control.ts';
import { POLL_MS, ProfileSession } from '../../src/toolstack/domain/profile.ts';
import type { Hot } from './cpu-profile.ts';

export class GuestSamples {
  readonly #begin: () => ProfileSession;
  readonly #timer: NodeJS.Timeout;
  #session: ProfileSession;

  /** From now on. */
  constructor(hypervisor: HypervisorControl, domid: number) {
    const control = hypervisor.domain(domid);
    if (control === undefined) throw new Error(`there is no domain ${domid}`);
    this.#begin = () => new ProfileSession(control);
    this.#session = this.#begin();
    this.#timer = setInterval(() => this.#session.poll(), POLL_MS);
  }

  /** What was sampled since the last call: shares by kernel function, most first. */
  take(): readonly Hot[] {
    this.#session.poll();
    const { samples: total, functions } = this.#session.profile();
    this.#session = this.#begin();
    return functions.map(({ where, name, address, samples }) => ({
      what: where === 'kernel' ? (name ?? address ?? where) : `${where} mode`,
      share: samples / total,
    }));
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
