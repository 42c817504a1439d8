/** Events for one who iterates over them, at a pace of their own. */
import { abortable } from './abortable.ts';
import type { KeepAlive } from './keep-alive.ts';

/** Events that wait for a reader; of one that has stopped reading the oldest are dropped. */
const LIMIT = 1024;

export interface EventStreamOptions {
  readonly keepAlive: KeepAlive;
  readonly signal: AbortSignal | undefined;
  /** Nobody wants any more. */
  readonly onEnd: () => void;
}

export class EventStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: EventStreamOptions;
  readonly #events: T[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  push(event: T): void {
    if (this.#events.length >= LIMIT) this.#events.shift();
    this.#events.push(event);
    this.#wake();
  }

  /** Nothing more will come. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onEnd();
    this.#wake();
  }

  /** Rejects with the signal's reason when it is aborted. */
  async next(): Promise<IteratorResult<T, undefined>> {
    const { keepAlive, signal } = this.#options;
    for (;;) {
      const [event] = this.#events.splice(0, 1);
      if (event !== undefined) return { done: false, value: event };
      if (this.#ended) return { done: true, value: undefined };
      const more = new Promise<void>((resolve) => (this.#wake = resolve));
      try {
        await keepAlive.during(abortable(more, signal));
      } catch (error) {
        this.end();
        throw error;
      }
    }
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#events.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
