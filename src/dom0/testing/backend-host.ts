/** A store, a fake hypervisor and backends of one kind on top; and the toolstack's and the frontend's part, for tests of backends. */
import { XenbusState, xenbusStateOf, type XenbusStateName } from '../../abi/io/xenbus.ts';
import { BackendDevices } from '../backend/devices.ts';
import type { BackendDriver } from '../backend/driver.ts';
import { Xenstored, type Xenstore } from '../xenstore/index.ts';
import { FakeHypervisor, ManualScheduler, type FakeDomain } from './fake-hypervisor.ts';

export class BackendHost<C> {
  readonly hypervisor = new FakeHypervisor();
  readonly scheduler = new ManualScheduler();
  readonly xs: Xenstore;
  readonly devices: BackendDevices<C>;
  readonly errors: unknown[] = [];
  readonly lines: string[] = [];
  /** Tasks of timers; `tick` runs them. */
  readonly timers = new Set<() => void>();
  readonly #type: string;

  constructor(driver: BackendDriver<C>) {
    this.#type = driver.type;
    const xenstored = new Xenstored(this.hypervisor as never, { scheduler: this.scheduler });
    this.xs = xenstored.client();
    this.devices = new BackendDevices(driver, {
      control: this.hypervisor as never,
      xs: this.xs,
      timers: {
        after: (_, task) => {
          this.timers.add(task);
          return () => void this.timers.delete(task);
        },
      },
      onError: (error) => this.errors.push(error),
      log: (line) => this.lines.push(line),
    });
  }

  addDomain(domid = 1, nrFrames = 64): FakeDomain {
    return this.hypervisor.add(domid, nrFrames);
  }

  /** Both directories, as libxl makes them. */
  addDevice(domid: number, devid: number, back: Readonly<Record<string, string>> = {}): FakeDevice {
    const device = new FakeDevice(this.xs, this.#type, domid, devid);
    this.xs.transaction((t) => {
      t.mkdir(device.front);
      t.setPerms(device.front, `n${domid},r0`);
      t.write(`${device.front}/backend`, device.back);
      t.write(`${device.front}/backend-id`, 0);
      t.write(`${device.front}/state`, XenbusState.Initialising);
      t.mkdir(device.back);
      t.setPerms(device.back, `n0,r${domid}`);
      const keys = {
        frontend: device.front,
        'frontend-id': domid,
        online: 1,
        state: XenbusState.Initialising,
        ...back,
      };
      for (const [key, value] of Object.entries(keys)) t.write(`${device.back}/${key}`, value);
    });
    return device;
  }

  /** Until neither watches nor devices have anything to do. */
  async settle(): Promise<void> {
    for (let i = 0; i < 50; i++) {
      this.scheduler.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  tick(): void {
    for (const task of [...this.timers]) {
      this.timers.delete(task);
      task();
    }
  }
}

/** One device's two directories. */
export class FakeDevice {
  readonly front: string;
  readonly back: string;
  readonly #xs: Xenstore;

  constructor(xs: Xenstore, type: string, domid: number, devid: number) {
    this.#xs = xs;
    this.front = `/local/domain/${domid}/device/${type}/${devid}`;
    this.back = `/local/domain/0/backend/${type}/${domid}/${devid}`;
  }

  get backState(): XenbusStateName {
    return xenbusStateOf(this.read('state'));
  }

  /** A key of the backend's directory. */
  read(key: string): string | undefined {
    return this.#xs.read(`${this.back}/${key}`);
  }

  /** Keys of the frontend's directory, all at once. */
  write(keys: Readonly<Record<string, string | number>>): void {
    this.#xs.transaction((t) => {
      for (const [key, value] of Object.entries(keys)) t.write(`${this.front}/${key}`, value);
    });
  }

  setState(state: XenbusStateName): void {
    this.write({ state: XenbusState[state] });
  }

  /** The toolstack asks both ends to close, for good. */
  takeOffline(): void {
    this.#xs.transaction((t) => {
      t.write(`${this.back}/online`, 0);
      t.write(`${this.back}/state`, XenbusState.Closing);
    });
  }

  remove(): void {
    this.#xs.transaction((t) => {
      t.rm(this.back);
      t.rm(this.front);
    });
  }

  get error(): string | undefined {
    return this.#xs.read(`/local/domain/0/error/${this.back.slice('/local/domain/0/'.length)}/error`);
  }
}
