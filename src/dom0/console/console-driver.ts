/**
 * Consoles beside the first: split devices below `device/console`, which a guest's driver knows as `/dev/hvc1` and so on, and `xl.cfg` as `channel`. On a
 * Xen host QEMU serves them, hence `type = ioemu` in their directories (hw/char/xen_console.c). The ring is that of the first
 * console, in a page that the guest grants.
 */
import type { BackendDriver, BackendInstance, Channel, DeviceGlue, FrontendLink, Keys } from '../backend/index.ts';
import type { Scheduler, Timers } from '../scheduler.ts';
import type { Xenstore } from '../xenstore/index.ts';
import { ConsoleRing } from './console-ring.ts';
import { ConsoleTerminal, type Pty } from './console-terminal.ts';
import type { Consoles } from './consoles.ts';
import { DomainConsole } from './domain-console.ts';
import { GuestLog } from './guest-log.ts';

export interface ConsoleDriverServices {
  readonly xs: Pick<Xenstore, 'write' | 'exists'>;
  readonly scheduler: Scheduler;
  readonly timers: Timers;
  readonly consoles: Pick<Consoles, 'add'>;
  readonly openPty: () => Pty | undefined;
  /** Listens on a unix socket, each of whose connections is a client of the console. Rejects with an Error that says why not. */
  readonly listen: (path: string, console: () => DomainConsole | undefined) => Promise<Listener>;
}

export interface Listener {
  close(): void;
}

/** What lasts longer than an instance: the page, its events, and what was printed. */
interface Connection {
  readonly page: Uint8Array;
  readonly channel: Channel;
  readonly log: GuestLog;
}

/** Of what a console without a log of its own keeps for those who did not read it yet. */
const KEPT = 256 * 1024;

export class ConsoleDriver implements BackendDriver<Connection> {
  readonly type = 'console';
  readonly #services: ConsoleDriverServices;

  constructor(services: ConsoleDriverServices) {
    this.#services = services;
  }

  /** The first console is no split device: xenconsoled serves it, and its directory's state stays as it is. */
  serves(devid: number): boolean {
    return devid !== 0;
  }

  create(device: DeviceGlue): BackendInstance<Connection> {
    return new ConsoleInstance(device, this.#services);
  }
}

class ConsoleInstance implements BackendInstance<Connection> {
  readonly #device: DeviceGlue;
  readonly #services: ConsoleDriverServices;
  #console: DomainConsole | undefined;
  #channel: Channel | undefined;
  #listener: Listener | undefined;
  #forget: () => void = () => undefined;

  constructor(device: DeviceGlue, services: ConsoleDriverServices) {
    this.#device = device;
    this.#services = services;
  }

  features(): Keys {
    return {};
  }

  async open(): Promise<Keys> {
    const path = this.#device.read('path');
    if (this.#device.read('connection') === 'socket' && path !== undefined)
      this.#listener = await this.#services.listen(path, () => this.#console);
    return {};
  }

  connect(link: FrontendLink): Connection {
    const page = link.map(link.number('ring-ref')).bytes;
    const channel = link.bind(link.number('port'));
    return { page, channel, log: new GuestLog(this.#device.path, KEPT, undefined) };
  }

  serve({ page, channel, log }: Connection): Keys {
    const { scheduler, timers, consoles, xs, openPty } = this.#services;
    const { domid, devid, frontendPath } = this.#device;
    const console = new DomainConsole(domid, new ConsoleRing(page), log, { scheduler, timers });
    this.#console = console;
    this.#channel = channel;
    console.port = {
      notify: () => channel.notify(),
      close: () => channel.listen(undefined),
      ignore: (events) => channel.ignore(events),
    };
    channel.listen(() => this.#device.guard(() => console.pump()));
    this.#forget = consoles.add(domid, devid, console);
    // An internal one is for who asks `consoles`.
    if (this.#listener === undefined && this.#device.read('connection') !== 'internal') {
      const pty = openPty();
      if (pty && xs.exists(`${frontendPath}/tty`))
        xs.write(`${frontendPath}/tty`, new ConsoleTerminal(console.attach('domain'), pty).path);
      else pty?.close();
    }
    console.pump();
    return {};
  }

  quiesce(): Promise<void> {
    this.#forget();
    this.#channel?.listen(undefined);
    this.#console?.end();
    this.#console = undefined;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#listener?.close();
    this.#listener = undefined;
    return Promise.resolve();
  }
}
