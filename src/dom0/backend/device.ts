/**
 * One backend device: the state machine between its directory in xenstore, the frontend's, and the instance that does the work. After
 * xen/include/public/io/xenbus.h and what Linux' backends do (drivers/block/xen-blkback/xenbus.c, drivers/net/xen-netback/xenbus.c).
 *
 * Watches only say that something may have changed. One pass at a time compares what is with what should be, and takes the step that
 * is missing; so it does not matter in which order, or how often, a frontend writes its states.
 *
 * An instance that throws is closed and another one made in its place, which goes on with the connection; after a number of
 * times the device is closed with an error node, as a fatal error of Linux' backends does.
 */
import { XenbusState, xenbusStateOf, type XenbusStateName } from '../../abi/io/xenbus.ts';
import type { Timers } from '../scheduler.ts';
import type { Xenstore } from '../xenstore/index.ts';
import type { BackendDriver, BackendInstance, DeviceGlue, Keys } from './driver.ts';
import { FrontendError, FrontendLink, type LinkControl } from './frontend-link.ts';
import { DeviceStatistics } from './statistics.ts';

/** How often an instance may fail within the period before its device is given up. */
export const MAX_RESTARTS = 5;
export const RESTART_PERIOD_MS = 60_000;
/** Another host that was about to take over a domain lets go of its disks when it hears of its end: half a minute. */
const RECLAIM_PAUSE_MS = 100;
const RECLAIM_TRIES = 300;
/** Lines about one device's frontend; a hostile one could cause any number. */
const MAX_WARNINGS = 10;
const EIO = -5;

export interface DeviceServices {
  readonly control: LinkControl;
  readonly xs: Xenstore;
  readonly timers: Timers;
  /** An instance has thrown. */
  readonly onError: (error: unknown) => void;
  readonly log: (line: string) => void;
}

export interface DeviceAddress {
  readonly path: string;
  readonly domid: number;
  readonly devid: number;
  readonly frontendPath: string;
}

type Step = 'reopen' | 'connect' | 'closing' | 'disconnect' | 'forget';

/** What a frontend's state asks of a backend; states that are not here ask nothing. */
const steps: Readonly<Partial<Record<XenbusStateName, { from: readonly XenbusStateName[]; step: Step }>>> = {
  Initialising: { from: ['Closed'], step: 'reopen' }, // a driver has come back
  Initialised: { from: ['InitWait'], step: 'connect' },
  Connected: { from: ['InitWait'], step: 'connect' }, // netfront has no Initialised
  Closing: { from: ['Initialising', 'InitWait', 'Connected'], step: 'closing' },
  Closed: { from: ['Initialising', 'InitWait', 'Connected', 'Closing'], step: 'disconnect' },
  Unknown: { from: ['Initialising', 'InitWait', 'Connected', 'Closing', 'Closed'], step: 'forget' }, // its directory is gone
};

export class BackendDevice<C> {
  readonly address: DeviceAddress;
  readonly statistics = new DeviceStatistics();
  readonly #driver: BackendDriver<C>;
  readonly #services: DeviceServices;
  readonly #stopWatch: () => void;
  #state: XenbusStateName = 'Initialising';
  #instance: BackendInstance<C> | undefined;
  /** Whether `open` has succeeded for the instance. */
  #opened: 'not yet' | 'yes' | 'failed' = 'not yet';
  #link: FrontendLink | undefined;
  #connection: { readonly value: C } | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** What it had open is closed for now, see `release`; or it only rests. */
  #released: 'no' | 'wanted' | 'yes' | 'rest wanted' | 'rests' = 'no';
  /** How often opening may fail from now on without an end. */
  #reclaims = 0;
  #restarts = 0;
  #warnings = 0;
  #removed = false;
  #silent = false;
  #forgotten = false;
  #settling = false;
  #again = false;
  #idle: (() => void)[] = [];

  constructor(address: DeviceAddress, driver: BackendDriver<C>, services: DeviceServices) {
    this.address = address;
    this.#driver = driver;
    this.#services = services;
    this.#stopWatch = services.xs.watch(`${address.frontendPath}/state`, () => this.changed());
  }

  get state(): XenbusStateName {
    return this.#state;
  }

  get connection(): C | undefined {
    return this.#connection?.value;
  }

  /** Nothing is left to do for it: frontend or directory are gone, or it went offline. */
  get forgotten(): boolean {
    return this.#forgotten;
  }

  /** Something may have changed: a state, `online`, the directory. */
  changed(): void {
    this.#again = true;
    if (this.#settling) return;
    this.#settling = true;
    void this.#settle();
  }

  /** The directory or the domain is gone. Resolves when nothing is in use any more. */
  async remove(what: 'directory' | 'domain'): Promise<void> {
    this.#removed = true;
    // There may be another device's directory in its place by now.
    if (what === 'directory') this.#silent = true;
    this.changed();
    await this.settled();
  }

  /**
   * Lets go of what it has open, for another host that the domain moves to; the frontend does not notice, and nothing is answered. Resolves
   * when it is closed, with all that was under way done.
   */
  async release(): Promise<void> {
    if (this.#released === 'no') this.#released = 'wanted';
    this.changed();
    await this.settled();
  }

  /** As `release`, but what it has open stays open: nobody else needs it. */
  async rest(): Promise<void> {
    if (this.#released === 'no') this.#released = 'rest wanted';
    this.changed();
    await this.settled();
  }

  /** The domain stays: opens it again, and goes on with the connection. The other host may still have to let go of it, for which there is some time. */
  async reclaim(): Promise<void> {
    if (this.#released === 'rests' && this.#connection !== undefined) this.#instance?.serve(this.#connection.value);
    this.#reclaims = RECLAIM_TRIES;
    while (this.#released !== 'no') {
      this.#released = 'no';
      this.changed();
      await this.settled();
      if (this.#released === 'no') return;
      await new Promise<void>((resolve) => void this.#services.timers.after(RECLAIM_PAUSE_MS, resolve));
    }
  }

  /** Resolves when there is nothing to do. */
  settled(): Promise<void> {
    return this.#settling ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  // --- passes -----------------------------------------------------------------------------------------------------

  async #settle(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        await this.#pass();
      } catch (error) {
        this.#wentWrong(error);
      }
    }
    this.#settling = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #pass(): Promise<void> {
    if (this.#forgotten) return;
    if (this.#removed) return this.#forget();
    if (this.#released === 'wanted') {
      await this.#letGo();
      this.#released = 'yes';
    }
    if (this.#released === 'rest wanted') {
      this.#link?.silence();
      await this.#instance?.quiesce();
      this.#released = 'rests';
    }
    // The domain runs elsewhere, and its copy here is destroyed: there is nothing to wait for.
    if (this.#released === 'yes' && !this.#online) return this.#forget();
    if (this.#released === 'yes' || this.#released === 'rests') return;
    if (this.#failure !== undefined) await this.#recover();
    else if (this.#instance === undefined && this.#state === 'Connected' && (await this.#goOn()) === 'later') return;
    if (this.#instance === undefined && this.#state !== 'Closing' && this.#state !== 'Closed') await this.#start();
    const frontend = xenbusStateOf(this.#services.xs.read(`${this.address.frontendPath}/state`));
    const row = steps[frontend];
    if (row?.from.includes(this.#state)) await this.#take(row.step);
    else if (frontend === 'Closed' && this.#state === 'Closed' && !this.#online) await this.#forget();
  }

  async #take(step: Step): Promise<void> {
    switch (step) {
      case 'reopen':
        await this.#start();
        break;
      case 'connect':
        if (this.#opened === 'yes') this.#connect();
        break;
      case 'closing':
        this.#switch('Closing');
        this.changed(); // it may be Closed by now
        break;
      case 'disconnect':
        if (this.#online) {
          await this.#disconnect();
          this.#switch('Closed');
        } else {
          await this.#forget();
        }
        break;
      case 'forget':
        await this.#forget();
        break;
    }
  }

  /** To InitWait, with an instance that has opened what it needs. */
  async #start(): Promise<BackendInstance<C>> {
    if (this.#instance === undefined) this.#opened = 'not yet';
    const instance = (this.#instance ??= this.#create());
    this.#write(instance.features());
    if (this.#connection === undefined) this.#switch('InitWait');
    if (this.#opened !== 'not yet') return instance;
    try {
      this.#write({ ...(await instance.open()), 'hotplug-status': 'connected' });
      this.#opened = 'yes';
    } catch (error) {
      this.#opened = 'failed';
      const reason = error instanceof Error ? error.message : String(error);
      this.#write({ 'hotplug-error': reason, 'hotplug-status': 'error' });
      this.#services.log(`${this.address.path}: ${reason}`);
    }
    return instance;
  }

  #connect(): void {
    const instance = this.#instance;
    if (instance === undefined) return;
    const { domid, frontendPath } = this.address;
    const link = new FrontendLink(this.#services.control, this.#services.xs, domid, frontendPath);
    try {
      this.#connection = { value: instance.connect(link) };
      this.#link = link;
    } finally {
      if (this.#link !== link) link.close();
    }
    this.#write(instance.serve(this.#connection.value));
    this.#switch('Connected');
  }

  async #disconnect(): Promise<void> {
    this.#link?.silence();
    try {
      await this.#instance?.quiesce();
    } finally {
      this.#connection = undefined;
      this.#link?.close();
      this.#link = undefined;
    }
  }

  /** The end: everything is closed before the state says so, since the toolstack may give the disk to somebody else then. */
  async #forget(): Promise<void> {
    this.#forgotten = true;
    this.#stopWatch();
    try {
      await this.#disconnect();
    } finally {
      const instance = this.#instance;
      this.#instance = undefined;
      try {
        await instance?.close();
      } finally {
        this.#switch('Closed');
        this.#unplugged();
      }
    }
  }

  // --- failures ---------------------------------------------------------------------------------------------------

  #wentWrong(error: unknown): void {
    if (error instanceof FrontendError) {
      this.#fatal(error.errno, error.message);
    } else if (this.#forgotten) {
      this.#services.onError(error);
    } else {
      this.#failure ??= { error };
    }
    this.#again = true;
  }

  async #recover(): Promise<void> {
    const { error } = this.#failure ?? { error: undefined };
    this.#failure = undefined;
    this.#services.onError(error);
    await this.#letGo();
    if (++this.#restarts > MAX_RESTARTS) {
      this.#fatal(EIO, `the backend has failed ${this.#restarts} times: ${String(error)}`);
      return;
    }
    this.#services.timers.after(RESTART_PERIOD_MS, () => this.#restarts--);
    await this.#goOn();
  }

  async #letGo(): Promise<void> {
    this.#link?.silence();
    const instance = this.#instance;
    this.#instance = undefined;
    // What was under way must have ended before somebody else does it again: it would write to pages that the guest uses otherwise.
    await this.#quietly(() => instance?.quiesce());
    await this.#quietly(() => instance?.close());
  }

  /** Another instance for the connection that there is; or later, when `reclaim` tries again. */
  async #goOn(): Promise<'later' | undefined> {
    if (this.#connection === undefined) return undefined; // the pass goes on as with a new device
    const instance = await this.#start();
    if (this.#opened !== 'yes') {
      if (--this.#reclaims < 0) {
        this.#fatal(EIO, 'what the device stands for cannot be opened again');
        return undefined;
      }
      await this.#letGo();
      this.#released = 'yes';
      return 'later';
    }
    this.#reclaims = 0;
    this.#write(instance.serve(this.#connection.value));
    this.#switch('Connected');
    return undefined;
  }

  async #quietly(body: () => Promise<void> | undefined): Promise<void> {
    try {
      await body();
    } catch (error) {
      this.#services.onError(error);
    }
  }

  /** xenbus_dev_fatal: an error node, and Closing; a frontend answers with Closed. */
  #fatal(errno: number, message: string): void {
    const { path } = this.address;
    const node = path.replace(/^\/local\/domain\/0\//, '');
    this.#services.xs.write(`/local/domain/0/error/${node}/error`, `${errno} ${message}`);
    this.#services.log(`${path}: ${message}`);
    this.#switch('Closing');
  }

  // --- the directory ----------------------------------------------------------------------------------------------

  #create(): BackendInstance<C> {
    const { path, domid, devid, frontendPath } = this.address;
    const { xs, log, onError } = this.#services;
    const made: { instance?: BackendInstance<C> } = {};
    const failed = (error: unknown): void => {
      if (made.instance === undefined || this.#instance !== made.instance) return onError(error); // one that is gone
      this.#link?.silence();
      this.#failure ??= { error };
      this.changed();
    };
    const glue: DeviceGlue = {
      type: this.#driver.type,
      domid,
      devid,
      path,
      frontendPath,
      statistics: this.statistics,
      read: (key) => xs.read(`${path}/${key}`),
      write: (keys) => this.#write(keys),
      guard(body) {
        try {
          body();
        } catch (error) {
          failed(error);
        }
      },
      failed,
      warn: (line) => {
        if (this.#warnings++ < MAX_WARNINGS) log(`${path}: ${line}`);
      },
    };
    return (made.instance = this.#driver.create(glue));
  }

  get #online(): boolean {
    return this.#services.xs.read(`${this.address.path}/online`) !== '0';
  }

  #switch(state: XenbusStateName): void {
    this.#state = state;
    this.#write({ state: XenbusState[state] });
  }

  /**
   * Says that nothing is open any more, as Linux' netback does when its device goes. The state does not tell: a frontend that reboots
   * closes its device, whose backend is Closed then and keeps the disk, since the device is online.
   */
  #unplugged(): void {
    if (!this.#silent) this.#services.xs.rm(`${this.address.path}/hotplug-status`);
  }

  /** xenbus_switch_state: a directory that is gone is not made again. */
  #write(keys: Keys): void {
    const { path } = this.address;
    if (this.#silent) return;
    this.#services.xs.transaction((t) => {
      if (!t.exists(`${path}/state`)) return;
      for (const [key, value] of Object.entries(keys)) {
        if (t.read(`${path}/${key}`) !== String(value)) t.write(`${path}/${key}`, value);
      }
    });
  }
}
