import type { Clock } from '../scheduler.ts';

/** Time, as the host hands it in. */
export type Timers = Clock;

/**
 * One timer that is set and moved often. Moving it to a later time costs nothing: it rings early, looks again and sleeps on.
 */
export class Alarm {
  readonly #timers: Timers;
  readonly #ring: () => void;
  #due = Infinity;
  #armed = Infinity;
  #cancel: (() => void) | undefined;

  constructor(timers: Timers, ring: () => void) {
    this.#timers = timers;
    this.#ring = ring;
  }

  /** Rings at this time; Infinity for not at all. */
  set(due: number): void {
    this.#due = due;
    if (due >= this.#armed) return;
    this.#arm(due);
  }

  stop(): void {
    this.#due = this.#armed = Infinity;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(due: number): void {
    this.#cancel?.();
    this.#armed = due;
    this.#cancel = this.#timers.after(Math.max(due - this.#timers.now(), 0), () => {
      this.#armed = Infinity;
      this.#cancel = undefined;
      if (this.#due === Infinity) return;
      if (this.#due > this.#timers.now()) {
        this.#arm(this.#due);
        return;
      }
      this.#due = Infinity;
      this.#ring();
    });
  }
}
