/**
 * Workers that are ready before there is work for them: loading a vCPU's modules and building the decoder's tables takes longer than all the rest of creating a domain, or
 * of cloning one. One waits at any time; some more for a while where clones are made. Each holds about 30 MB. Those that have served a domain serve again: each thread compiles
 * the hypervisor's JavaScript for itself, which takes longer than a clone's first answer does afterwards.
 */

/** What is asked of a Worker. */
export interface Idle {
  ref(): void;
  unref(): void;
  on(event: 'error' | 'exit', listener: () => void): this;
  off(event: 'error' | 'exit', listener: () => void): this;
  terminate(): Promise<unknown>;
}

export interface SpareTimes {
  /** After one was taken, until the next is made: whoever took it has more use for the processors meanwhile. */
  readonly renew: number;
  /** The same where more are expected to be taken soon, and between two that are made. */
  readonly hurry: number;
  /** Until those that were expected to be taken, and were not, are given up. */
  readonly keep: number;
}

const usual: SpareTimes = { renew: 5000, hurry: 200, keep: 60_000 };
const MOST = 8;

interface Waiting<W> {
  readonly worker: W;
  readonly lost: () => void;
}

export class SpareWorkers<W extends Idle> {
  readonly #create: () => W;
  readonly #times: SpareTimes;
  readonly #waiting: Waiting<W>[] = [];
  #wanted = 1;
  #making: NodeJS.Timeout | undefined;
  #givingUp: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(create: () => W, times = usual) {
    this.#create = create;
    this.#times = times;
    this.#make();
  }

  /** One that waits, or a new one. */
  take(isBest: (worker: W) => boolean = () => true): W {
    const best = this.#waiting.findIndex(({ worker }) => isBest(worker));
    const [waiting] = this.#waiting.splice(Math.max(0, best), 1);
    const worker = waiting?.worker ?? this.#create();
    if (waiting) worker.off('error', waiting.lost).off('exit', waiting.lost);
    worker.ref();
    this.#makeLater(this.#wanted > 1 ? this.#times.hurry : this.#times.renew);
    return worker;
  }

  /** In the order in which they will be taken. */
  waiting(): readonly W[] {
    return this.#waiting.map(({ worker }) => worker);
  }

  /** One that was taken and has nothing to do any more: it is the next to be taken, as it has done all of it before. */
  giveBack(worker: W): void {
    this.#add(worker, 'first');
    const most = this.#closed ? 0 : this.#wanted > 1 ? MOST : 1;
    for (const { worker: surplus } of this.#waiting.splice(most)) void surplus.terminate();
  }

  /** So many may be taken soon, and again so many after that. */
  expect(count: number): void {
    this.#wanted = Math.max(this.#wanted, Math.min(count, MOST));
    if (this.#wanted === 1 || this.#closed) return;
    this.#makeLater(this.#times.hurry);
    clearTimeout(this.#givingUp);
    this.#givingUp = setTimeout(() => {
      this.#wanted = 1;
      for (const { worker } of this.#waiting.splice(1)) void worker.terminate();
    }, this.#times.keep).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#making);
    clearTimeout(this.#givingUp);
    await Promise.all(this.#waiting.splice(0).map(({ worker }) => worker.terminate()));
  }

  #makeLater(milliseconds: number): void {
    if (this.#closed) return;
    clearTimeout(this.#making);
    this.#making = setTimeout(() => this.#make(), milliseconds).unref();
  }

  #make(): void {
    this.#making = undefined;
    if (this.#waiting.length >= this.#wanted) return;
    this.#add(this.#create(), 'last');
    this.#makeLater(this.#times.hurry);
  }

  #add(worker: W, place: 'first' | 'last'): void {
    // Who asks for one then gets a new one, and is told what is wrong with that.
    const lost = (): void => {
      const index = this.#waiting.findIndex((one) => one.worker === worker);
      if (index >= 0) this.#waiting.splice(index, 1);
    };
    worker.on('error', lost).on('exit', lost);
    if (place === 'first') this.#waiting.unshift({ worker, lost });
    else this.#waiting.push({ worker, lost });
    // It keeps no process alive that has nothing else to do.
    worker.unref();
  }
}
