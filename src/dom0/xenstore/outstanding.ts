/**
 * Requests of a guest that are not over yet: the reply has not been taken, or events that it caused have not been taken by the guests they
 * are for. A guest with too many is not read from until some are over, so that it cannot pile up work for others faster than they take
 * it. After xen/tools/xenstore/xenstored_core.c, domain_outstanding_inc; and there, too, an event that nobody takes is given up after
 * a while (Outbox.expire), for else a guest could stall another by not reading.
 */
import type { Cause } from './watches.ts';

export class Outstanding {
  count = 0;
  /** Whether somebody waits for the count to fall. */
  #onFall: (() => void) | undefined;

  /** Calls back once, when a request is over. */
  wait(callback: () => void): void {
    this.#onFall = callback;
  }

  begin(): OpenRequest {
    this.count++;
    return new OpenRequest(() => {
      this.count--;
      const callback = this.#onFall;
      this.#onFall = undefined;
      callback?.();
    });
  }
}

export class OpenRequest implements Cause {
  /** The reply, and each event. */
  #held = 1;
  readonly #over: () => void;

  constructor(over: () => void) {
    this.#over = over;
  }

  hold(): void {
    this.#held++;
  }

  release(): void {
    if (--this.#held === 0) this.#over();
  }
}
