/** Domain 0's ends of event channels. Main thread only; the peers' ends are in the domains' own memories. */
import { Errno } from '../abi/errno.ts';
import type { LocalPort } from './control.ts';
import { HypercallError } from './control.ts';
import type { Domain } from './domain.ts';
import { bindFromDom0, unbindFromDom0 } from './event-channel/lifecycle.ts';
import { raiseFromDom0 } from './event-channel/raise.ts';
import type { HostState } from './host-state.ts';
import { MAX_DOM0_PORT } from './host-state.ts';

interface Binding {
  readonly domid: number;
  readonly onEvent: () => void;
  readonly close: () => void;
}

export class Dom0Ports {
  readonly #state: HostState;
  readonly #bindings = new Map<number, Binding>();
  #rover = 0;

  constructor(state: HostState) {
    this.#state = state;
  }

  bind(domain: Domain, remotePort: number, onEvent: () => void): LocalPort {
    const port = this.#allocate();
    const refused = bindFromDom0(domain, remotePort, port);
    if (refused !== 0) throw new HypercallError(refused, `bind to port ${remotePort} of domain ${domain.domid}`);
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      this.#bindings.delete(port);
      this.#state.ignore(port, 0); // not those of its next user
      unbindFromDom0(domain, remotePort, port);
    };
    this.#bindings.set(port, { domid: domain.domid, onEvent, close });
    // The guest may have sent before anybody was bound; the new port is pending at once (event_channel.h).
    this.#state.raise(port);
    return {
      port,
      notify: () => {
        if (open) raiseFromDom0(domain, remotePort, port);
      },
      ignore: (events) => {
        if (open) this.#state.ignore(port, events);
      },
      close,
    };
  }

  /** Runs the handlers of all ports with events. One that throws does not keep the others from running. */
  deliver(onError: (error: unknown) => void): void {
    this.#state.drain((port) => {
      try {
        this.#bindings.get(port)?.onEvent();
      } catch (error) {
        onError(error);
      }
    });
  }

  /** The domain is gone. */
  closeAll(domid: number): void {
    for (const binding of [...this.#bindings.values()]) if (binding.domid === domid) binding.close();
  }

  /** Not the lowest free one: an event under way for a port just closed must not reach the next user of its number. */
  #allocate(): number {
    for (let i = 0; i < MAX_DOM0_PORT; i++) {
      this.#rover = (this.#rover % MAX_DOM0_PORT) + 1;
      if (!this.#bindings.has(this.#rover)) return this.#rover;
    }
    throw new HypercallError(Errno.ENOSPC, 'event channels of domain 0');
  }
}
