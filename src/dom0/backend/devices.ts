/** All devices of one kind: found by their directories, as the kernel's xenbus does, and let go with them. */
import type { HypervisorControl } from '../../hypervisor/control.ts';
import { BackendDevice, type DeviceServices } from './device.ts';
import type { BackendDriver } from './driver.ts';

export interface BackendServices extends DeviceServices {
  readonly control: Pick<HypervisorControl, 'domain' | 'bindInterdomain' | 'onDomainException'>;
}

const BACKENDS = '/local/domain/0/backend';

export class BackendDevices<C> {
  readonly #driver: BackendDriver<C>;
  readonly #services: BackendServices;
  readonly #devices = new Map<string, BackendDevice<C>>();
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #stop: (() => void)[];
  #closed = false;

  constructor(driver: BackendDriver<C>, services: BackendServices) {
    this.#driver = driver;
    this.#services = services;
    this.#stop = [
      services.xs.watch(`${BACKENDS}/${driver.type}`, (path) => this.#changed(path)),
      services.control.onDomainException((domid) => this.#ended(domid)),
    ];
  }

  get(domid: number, devid: number): BackendDevice<C> | undefined {
    return this.#devices.get(this.#path(domid, devid));
  }

  devices(): readonly BackendDevice<C>[] {
    return [...this.#devices.values()];
  }

  /** See BackendDevice.release, of all devices of a domain. */
  async release(domid: number): Promise<void> {
    await Promise.all(this.#of(domid).map((device) => device.release()));
  }

  async rest(domid: number): Promise<void> {
    await Promise.all(this.#of(domid).map((device) => device.rest()));
  }

  async reclaim(domid: number): Promise<void> {
    await Promise.all(this.#of(domid).map((device) => device.reclaim()));
  }

  #of(domid: number): readonly BackendDevice<C>[] {
    return this.devices().filter(({ address }) => address.domid === domid);
  }

  /** Lets go of all devices; resolves when what they had open is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stop.splice(0)) stop();
    for (const path of [...this.#devices.keys()]) this.#leave(path);
    await Promise.all(this.#leaving.values());
  }

  #path(domid: number | string, devid: number | string): string {
    return `${BACKENDS}/${this.#driver.type}/${domid}/${devid}`;
  }

  /** `path` is at, above or below a device's directory. */
  #changed(path: string): void {
    const { xs } = this.#services;
    const all = `${BACKENDS}/${this.#driver.type}`;
    const [domid = '', devid = ''] = path.startsWith(`${all}/`) ? path.slice(all.length + 1).split('/') : [];
    if (devid !== '') return this.#look(this.#path(domid, devid));
    const domids = domid === '' ? (xs.ls(all) ?? []) : [domid];
    const there = domids.flatMap((dom) => (xs.ls(`${all}/${dom}`) ?? []).map((dev) => this.#path(dom, dev)));
    const known = [...this.#devices.keys()].filter((p) => domid === '' || p.startsWith(this.#path(domid, '')));
    for (const device of new Set([...known, ...there])) this.#look(device);
  }

  #look(path: string): void {
    const { xs } = this.#services;
    const state = xs.read(`${path}/state`);
    const device = this.#devices.get(path);
    if (device === undefined) {
      if (state !== undefined) this.#probe(path);
    } else if (state === undefined) {
      this.#leave(path);
    } else if (device.state !== 'Initialising' && state === '1') {
      // Removed and made again before anybody looked.
      this.#leave(path);
      this.#probe(path);
    } else {
      device.changed();
    }
  }

  #probe(path: string): void {
    if (this.#closed) return;
    const leaving = this.#leaving.get(path);
    if (leaving !== undefined) {
      void leaving.then(() => this.#look(path));
      return;
    }
    const { xs } = this.#services;
    const [, type, domid = '', devid = ''] = path.slice(BACKENDS.length).split('/');
    const frontendPath = xs.read(`${path}/frontend`);
    const numbers = [domid, devid, xs.read(`${path}/frontend-id`) ?? ''];
    if (type === undefined || frontendPath === undefined || !numbers.every((text) => /^\d{1,10}$/.test(text))) return;
    const address = { path, domid: Number(domid), devid: Number(devid), frontendPath };
    if (numbers[2] !== domid || this.#driver.serves?.(address.devid) === false) return;
    const device = new BackendDevice(address, this.#driver, this.#services);
    this.#devices.set(path, device);
    device.changed();
  }

  #leave(path: string): void {
    const device = this.#devices.get(path);
    if (device === undefined) return;
    this.#devices.delete(path);
    const left = device.remove('directory').finally(() => this.#leaving.delete(path));
    this.#leaving.set(path, left);
  }

  /** A domain that is gone has no memory to serve from. Its directories stay until the toolstack removes them. */
  #ended(domid: number): void {
    if (this.#services.control.domain(domid) !== undefined) return;
    for (const device of this.#devices.values()) if (device.address.domid === domid) void device.remove('domain');
  }
}
