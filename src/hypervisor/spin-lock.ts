/**
 * The lock of a domain: one word in its memory. Holders keep it for microseconds and never wait inside, so spinning is
 * right; the sleep after a while is for a holder whose thread lost its processor.
 */
const SPINS = 2000;
const SLEEP_MS = 1;
/** A holder that is gone for so long is a thread that died inside; its domain is lost, the waiter must not be. */
const STEAL_AFTER_SLEEPS = 5000;

export class SpinLock {
  readonly #words: Int32Array;
  readonly #index: number;

  constructor(words: Int32Array, index: number) {
    this.#words = words;
    this.#index = index;
  }

  /** `holder` is not 0 and tells this thread from the others. */
  acquire(holder: number): void {
    if (Atomics.compareExchange(this.#words, this.#index, 0, holder) === 0) return;
    for (let sleeps = 0; sleeps < STEAL_AFTER_SLEEPS; sleeps++) {
      for (let i = 0; i < SPINS; i++) {
        if (Atomics.compareExchange(this.#words, this.#index, 0, holder) === 0) return;
      }
      const current = Atomics.load(this.#words, this.#index);
      if (current === holder) throw new Error(`spin lock: taken twice by ${holder}`);
      if (current !== 0) Atomics.wait(this.#words, this.#index, current, SLEEP_MS);
    }
    Atomics.store(this.#words, this.#index, holder);
  }

  release(): void {
    Atomics.store(this.#words, this.#index, 0);
  }

  /** Frees the lock of a thread that ended while holding it. */
  breakHeldBy(holder: number): void {
    Atomics.compareExchange(this.#words, this.#index, holder, 0);
  }
}
