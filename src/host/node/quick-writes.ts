/**
 * Which writes are made by the main thread itself, and which by a thread of Node's pool. A write goes to the page cache, in microseconds, unless the host makes the
 * writer wait: for memory, when too much is unwritten, or for a journal. Nobody can tell beforehand, so one that was slow sends those after it to threads for a while.
 */

/** What a copy to the page cache takes at most, on a machine with other work. */
const SLOW_MS = 2;
/** So many times as long as the slow one took, threads write: the main thread is held up for a hundredth of the time at most. */
const REST = 100;

export class QuickWrites {
  readonly #now: () => number;
  #from = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get allowed(): boolean {
    return this.#now() >= this.#from;
  }

  /** Runs one, and remembers whether it was slow. */
  run<T>(write: () => T): T {
    const begin = this.#now();
    try {
      return write();
    } finally {
      const end = this.#now();
      if (end - begin > SLOW_MS) this.#from = end + (end - begin) * REST;
    }
  }
}
