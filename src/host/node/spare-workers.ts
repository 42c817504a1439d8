/**
 * Workers that are ready before there is work for them: loading a vCPU's modules and building the decoder's tables takes longer than all the rest of creating a domain, or
 * of cloning one. One waits at any time; some more for a while where clones are made. Each holds about 30 MB.
 */

/** What is asked of a Worker. */
export interface Idle {
  ref(): void;
  unref(): void;
  once(event: 'error' | 'exit', listener: () => void): unknown;
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

export class SpareWorkers<W extends Idle> {
  readonly #create: () => W;
  readonly #times: SpareTimes;
  readonly #waiting: W[] = [];
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
  take(): W {
    const worker = this.#waiting.shift() ?? this.#create();
    worker.ref();
    this.#makeLater(this.#wanted > 1 ? this.#times.hurry : this.#times.renew);
    return worker;
  }

  /** So many may be taken soon, and again so many after that. */
  expect(count: number): void {
    this.#wanted = Math.max(this.#wanted, Math.min(count, MOST));
    if (this.#wanted === 1 || this.#closed) return;
    this.#makeLater(this.#times.hurry);
    clearTimeout(this.#givingUp);
    this.#givingUp = setTimeout(() => {
      this.#wanted = 1;
      for (const worker of this.#waiting.splice(1)) void worker.terminate();
    }, this.#times.keep).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#making);
    clearTimeout(this.#givingUp);
    await Promise.all(this.#waiting.splice(0).map((worker) => worker.terminate()));
  }

  #makeLater(milliseconds: number): void {
    if (this.#closed) return;
    clearTimeout(this.#making);
    this.#making = setTimeout(() => this.#make(), milliseconds).unref();
  }

  #make(): void {
    this.#making = undefined;
    if (this.#waiting.length >= this.#wanted) return;
    const worker = this.#create();
    this.#waiting.push(worker);
    // It keeps no process alive that has nothing else to do.
    worker.unref();
    const lost = (): void => {
      const index = this.#waiting.indexOf(worker);
      if (index >= 0) this.#waiting.splice(index, 1);
    };
    // Who asks for one then gets a new one, and is told what is wrong with that.
    worker.once('error', lost);
    worker.once('exit', lost);
    this.#makeLater(this.#times.hurry);
  }
}
