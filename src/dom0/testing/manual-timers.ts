/** Time that passes when a test says so. */
import type { Timers } from '../net/timers.ts';

interface Timer {
  readonly at: number;
  task: (() => void) | undefined;
}

export class ManualTimers implements Timers {
  #now = 0;
  /** In order of time, then of their making. */
  #timers: Timer[] = [];
  #first = 0;
  #live = 0;

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, task: () => void): () => void {
    const timer: Timer = { at: this.#now + milliseconds, task };
    let [low, high] = [this.#first, this.#timers.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#timers[middle]?.at ?? 0) <= timer.at) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    this.#live += 1;
    return () => {
      if (timer.task) this.#live -= 1;
      timer.task = undefined;
    };
  }

  get pending(): number {
    return this.#live;
  }

  /** Goes on to the next timer that is due by then and runs it; false when there is none. */
  step(until = Infinity): boolean {
    for (;;) {
      const first = this.#timers[this.#first];
      if (first === undefined || first.at > until) return false;
      this.#first += 1;
      if (this.#first > 1000) {
        this.#timers = this.#timers.slice(this.#first);
        this.#first = 0;
      }
      const { task } = first;
      if (task === undefined) continue;
      first.task = undefined;
      this.#live -= 1;
      this.#now = Math.max(this.#now, first.at);
      task();
      return true;
    }
  }

  /** Lets so much time pass. */
  pass(milliseconds: number): void {
    const end = this.#now + milliseconds;
    while (this.step(end));
    this.#now = end;
  }
}
