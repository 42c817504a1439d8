/** Domain 0's end of a frontend's event channel, for a backend that may come later than its first event. */
import type { LocalPort } from '../../hypervisor/control.ts';

export class Channel {
  #port: LocalPort | undefined;
  #handler: (() => void) | undefined;
  #pending = false;

  /** `bind` makes the port, whose events are then given to whoever listens. */
  constructor(bind: (onEvent: () => void) => LocalPort) {
    this.#port = bind(() => this.#event());
  }

  /** Who hears of events from now on; of one that has come while nobody listened at once. */
  listen(handler: (() => void) | undefined): void {
    this.#handler = handler;
    this.#deliver();
  }

  notify(): void {
    this.#port?.notify();
  }

  /** So many of the guest's events wake nobody; 0: all do again. */
  ignore(events: number): void {
    this.#port?.ignore(events);
  }

  close(): void {
    this.#handler = undefined;
    this.#port?.close();
    this.#port = undefined;
  }

  #event(): void {
    this.#pending = true;
    this.#deliver();
  }

  #deliver(): void {
    if (!this.#pending || this.#handler === undefined) return;
    this.#pending = false;
    this.#handler();
  }
}
