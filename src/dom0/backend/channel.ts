/** Domain 0's end of a frontend's event channel, with a mask as evtchn drivers have one. */
import type { LocalPort } from '../../hypervisor/control.ts';

export class Channel {
  #port: LocalPort | undefined;
  #handler: (() => void) | undefined;
  #masked = false;
  #pending = false;

  /** `bind` makes the port, whose events are then given to whoever listens. */
  constructor(bind: (onEvent: () => void) => LocalPort) {
    this.#port = bind(() => this.#event());
  }

  /** Who hears of events from now on; an event that has come meanwhile, or while nobody listened, is told at once or after unmasking. */
  listen(handler: (() => void) | undefined): void {
    this.#handler = handler;
    this.#deliver();
  }

  notify(): void {
    this.#port?.notify();
  }

  /** Events wait until `unmask`. */
  mask(): void {
    this.#masked = true;
  }

  unmask(): void {
    this.#masked = false;
    this.#deliver();
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
    if (!this.#pending || this.#masked || this.#handler === undefined) return;
    this.#pending = false;
    this.#handler();
  }
}
