/** Time that passes when a test says so. */
import type { Timers } from '../net/timers.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

export class ManualTimers implements Timers {
  #now = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, task: () => void): () => void {
    const timer = { at: this.#now + milliseconds, order: this.#order++, task };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** Goes on to the next timer that is due by then and runs it; false when there is none. */
  step(until = Infinity): boolean {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (!first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    }
    if (first === undefined || first.at > until) return false;
    this.#timers.delete(first);
    this.#now = Math.max(this.#now, first.at);
    first.task();
    return true;
  }

  /** Lets so much time pass. */
  pass(milliseconds: number): void {
    const end = this.#now + milliseconds;
    while (this.step(end));
    this.#now = end;
  }
}
