/** One at a time, in the order of asking. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** Work that goes on side by side, and is waited for at the end, however some of it ends. */
export class SideBySide {
  readonly #work: Promise<void>[] = [];

  add(work: Promise<void>): void {
    // It may fail long before anybody waits for it.
    work.catch(() => undefined);
    this.#work.push(work);
  }

  /** Throws the first error, if there was one, once all has ended. */
  async end(): Promise<void> {
    for (const result of await Promise.allSettled(this.#work)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }
}

/** Lets timers and requests of others run between two pieces of long work. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
