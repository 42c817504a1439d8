/** A guest's consoles beside the first, which xl.cfg calls channels. Each is followed from boot to boot, so that what it said can be read afterwards. */
import type { DomainConsole } from '../../dom0/console/index.ts';
import type { HostParts } from '../assembly/assemble-host.ts';
import { channelName as agentChannelName } from '../agent/protocol.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { XenolithError } from './errors.ts';
import { GuestConsole, type ConsoleSource } from './guest-console.ts';
import type { KeepAlive } from './keep-alive.ts';

export interface ChannelsGlue {
  readonly parts: Pick<HostParts, 'whenConsole'>;
  readonly keepAlive: KeepAlive;
  /** The guest has ended for good. */
  readonly over: Promise<unknown>;
  readonly isOver: () => boolean;
}

interface Channel {
  readonly num: number;
  readonly name: string | undefined;
  readonly place: ChannelPlace;
  readonly console: GuestConsole;
}

export class GuestChannels {
  readonly #glue: ChannelsGlue;
  readonly #guest: string;
  /** As the configuration has them, which stays over reboots: numbered from 1, since 0 is the first console. */
  readonly #channels: readonly Channel[];
  #boot = new AbortController();

  constructor(glue: ChannelsGlue, { name: guest, domid, config }: ManagedDomain) {
    this.#glue = glue;
    this.#guest = guest;
    this.#channels = (config.devices.channels ?? []).flatMap((channel, index) => {
      const name = typeof channel['name'] === 'string' ? channel['name'] : undefined;
      // What anybody else typed there would be no message of the agent's clients.
      if (name === agentChannelName) return [];
      const place = new ChannelPlace(glue.isOver);
      const { keepAlive, over, isOver } = glue;
      const source: ConsoleSource = {
        name: guest,
        called: `its channel ${name ?? index + 1}`,
        keepAlive,
        over,
        isOver,
        current: () => place.current,
        next: (after) => place.next(after),
      };
      return [{ num: index + 1, name, place, console: new GuestConsole(source) }];
    });
    this.follow(domid);
    void glue.over.then(() => this.#over());
  }

  /** Throws XenolithError for one that there is not. */
  get(which: string | number): GuestConsole {
    const found = this.#channels.find(({ name, num }) => which === (typeof which === 'string' ? name : num));
    if (found !== undefined) return found.console;
    const what = typeof which === 'string' ? `called ${JSON.stringify(which)}` : `with number ${which}`;
    throw new XenolithError('INVALID', `${this.#guest} has no channel ${what}`);
  }

  /** The guest boots, as this domain. */
  follow(domid: number): void {
    this.#boot.abort();
    this.#boot = new AbortController();
    const { signal } = this.#boot;
    for (const { num, place } of this.#channels) {
      place.current = undefined;
      void this.#follow(domid, num, place, signal);
    }
  }

  /** A guest's driver may let go of a channel and connect to it again. */
  async #follow(domid: number, num: number, place: ChannelPlace, signal: AbortSignal): Promise<void> {
    for (;;) {
      const known = place.current;
      const found = await this.#glue.parts.whenConsole(domid, num, { signal, known }).catch(() => undefined);
      if (found === undefined || signal.aborted) return;
      place.current = found;
    }
  }

  #over(): void {
    this.#boot.abort();
    for (const { place } of this.#channels) place.over();
  }
}

/** Where the console of a channel is, while guests boot and their drivers come and go. */
class ChannelPlace {
  readonly #isOver: () => boolean;
  #current: DomainConsole | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(isOver: () => boolean) {
    this.#isOver = isOver;
  }

  get current(): DomainConsole | undefined {
    return this.#current;
  }

  set current(console: DomainConsole | undefined) {
    this.#current = console;
    this.over();
    this.#changed = Promise.withResolvers();
  }

  /** Nobody waits any longer. */
  over(): void {
    this.#changed.resolve();
  }

  async next(after: DomainConsole | undefined): Promise<DomainConsole | undefined> {
    while (!this.#isOver() && (this.#current === undefined || this.#current === after)) await this.#changed.promise;
    return this.#current === after ? undefined : this.#current;
  }
}
