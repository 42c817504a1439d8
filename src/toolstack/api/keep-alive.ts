/**
 * What keeps the process alive. Guests alone do not: a guest that a program has forgotten must not keep it from ending. What a program waits for does,
 * else it would end in the middle of an `await`.
 */

/** Longer than any process lives; setInterval takes no more. */
const NEVER_MS = 2 ** 31 - 1;

export class KeepAlive {
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;

  /** The process stays while `work` is not settled. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#timer ??= setInterval(() => undefined, NEVER_MS);
    try {
      return await work;
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    }
  }
}
