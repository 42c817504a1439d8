/** A host with network backends and one cable tester at the other end of all of them. */
import { BackendHost, type FakeDevice } from '../../testing/backend-host.ts';
import { netback, type NetServices, type VifConnection } from '../back/index.ts';
import { keepFrame, type Frame, type LinkEnd } from '../link.ts';
import type { Timers } from '../timers.ts';
import { NetFrontend } from './net-frontend.ts';

/** The other end of a vif's link. */
export class Tester {
  readonly name: string;
  readonly end: LinkEnd;
  readonly frames: Frame[] = [];
  /** Whether it takes frames. */
  open = true;
  rooms = 0;
  closed = false;

  constructor(end: LinkEnd, name: string) {
    this.end = end;
    this.name = name;
    end.attach({
      receive: (frame) => {
        if (this.open) this.frames.push(keepFrame(frame));
        return this.open;
      },
      room: () => void this.rooms++,
      closed: () => void (this.closed = true),
    });
  }
}

/** Time that stands still until it is moved. */
class ManualClock implements Timers {
  readonly #due = new Map<() => void, number>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, task: () => void): () => void {
    const once = (): void => task();
    this.#due.set(once, this.#now + milliseconds);
    return () => void this.#due.delete(once);
  }

  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const [first] = [...this.#due].sort(([, a], [, b]) => a - b);
      if (first === undefined || first[1] > end) break;
      this.#now = first[1];
      this.#due.delete(first[0]);
      first[0]();
    }
    this.#now = end;
  }
}

export class NetHost extends BackendHost<VifConnection> {
  readonly testers: Tester[];
  readonly #clock: ManualClock;

  constructor(services: Partial<NetServices> = {}) {
    const testers: Tester[] = [];
    const clock = new ManualClock();
    // The driver looks at these later only, when there is a host.
    const self: { host?: NetHost } = {};
    const host = (): NetHost => self.host ?? missing();
    super(
      netback({
        xs: { watch: (path, callback) => host().xs.watch(path, callback) },
        scheduler: { defer: (task) => host().scheduler.defer(task) },
        timers: clock,
        findBridge: () => ({ plug: (end, port) => void testers.push(new Tester(end, port.name)) }),
        maxQueues: 4,
        ...services,
      }),
    );
    this.testers = testers;
    this.#clock = clock;
    self.host = this;
  }

  /** Lets time pass for the backends. */
  advance(milliseconds: number): void {
    this.#clock.advance(milliseconds);
  }

  /** A vif whose frontend is connected, and what is at the other end of its cable. */
  async connect(options: ConnectOptions = {}): Promise<ConnectedVif> {
    const { domid = 1, front = {}, back = {}, frames = 1200 } = options;
    const domain = this.hypervisor.domain(domid) ?? this.addDomain(domid, frames);
    const device = this.addDevice(domid, 0, { mac: '00:16:3e:00:00:01', bridge: 'xenbr0', ...back });
    await this.settle();
    const frontend = new NetFrontend(domain);
    const keys: Record<string, string | number> = { ...NetFrontend.features, ...frontend.keys(), ...front };
    device.write(Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== '')));
    device.setState('Connected');
    await this.settle();
    return { device, frontend, tester: this.testers.at(-1) ?? missing() };
  }
}

export interface ConnectOptions {
  readonly domid?: number;
  /** Other keys of the frontend; an empty text leaves one out. */
  readonly front?: Readonly<Record<string, string | number>>;
  readonly back?: Readonly<Record<string, string>>;
  readonly frames?: number;
}

export interface ConnectedVif {
  readonly device: FakeDevice;
  readonly frontend: NetFrontend;
  readonly tester: Tester;
}

function missing(): never {
  throw new Error('not there yet');
}
