/**
 * A worker that is ready before there is work for it: loading a vCPU's modules and building the decoder's tables takes longer than all the rest of creating a
 * domain. One waits at any time, no more.
 */

/** What is asked of a Worker. */
export interface Idle {
  ref(): void;
  unref(): void;
  once(event: 'error' | 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
}

/** After one was taken: whoever took it has more use for the processors meanwhile. */
const RENEW_MS = 5000;

export class SpareWorker<W extends Idle> {
  readonly #create: () => W;
  readonly #renewMs: number;
  #waiting: W | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(create: () => W, renewMs = RENEW_MS) {
    this.#create = create;
    this.#renewMs = renewMs;
    this.#renew();
  }

  /** The one that waits, or a new one. */
  take(): W {
    const worker = this.#waiting ?? this.#create();
    this.#waiting = undefined;
    worker.ref();
    if (!this.#closed) this.#timer ??= setTimeout(() => this.#renew(), this.#renewMs).unref();
    return worker;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const worker = this.#waiting;
    this.#waiting = undefined;
    await worker?.terminate();
  }

  #renew(): void {
    this.#timer = undefined;
    if (this.#waiting !== undefined) return;
    const worker = this.#create();
    this.#waiting = worker;
    // It keeps no process alive that has nothing else to do.
    worker.unref();
    const lost = (): void => {
      if (this.#waiting === worker) this.#waiting = undefined;
    };
    // Who asks for one then gets a new one, and is told what is wrong with that.
    worker.once('error', lost);
    worker.once('exit', lost);
  }
}
