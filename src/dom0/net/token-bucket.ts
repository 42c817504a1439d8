/** Limits how often something happens: so many at once, and so many a second in the long run. */
import type { Timers } from './timers.ts';

export class TokenBucket {
  readonly #timers: Timers;
  readonly #perSecond: number;
  readonly #most: number;
  #tokens: number;
  #filled: number;

  constructor(timers: Timers, perSecond: number, most: number) {
    this.#timers = timers;
    this.#perSecond = perSecond;
    this.#most = this.#tokens = most;
    this.#filled = timers.now();
  }

  /** False: not now. */
  take(): boolean {
    const now = this.#timers.now();
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#filled) * this.#perSecond) / 1000);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
