/**
 * The domains of this host from creation to clean-up: libxl's part. Order of events at creation, as libxl has it: domain made →
 * xenstore skeleton → image built → what the kernel needs in xenstore → introduced → console → unpaused. Whatever fails on
 * the way takes everything back that was done before.
 */
import type { DomainConfig } from '../config/domain-config.ts';
import { generateUuid, uuidBytes } from '../config/uuid.ts';
import { removeOverlays } from '../devices/disk-layers.ts';
import { checkDisks } from '../devices/disks.ts';
import { checkNics } from '../devices/nics.ts';
import { devicesOf, removeDevice, type DeviceGlue } from '../devices/split-device.ts';
import { takeSnapshot, type DomainSnapshot } from '../fork/domain-snapshot.ts';
import type { DomainControl, DomainInfo } from '../../hypervisor/control.ts';
import { XenError } from '../xen-error.ts';
import { buildDomain } from './build-domain.ts';
import { DuplicateName, failedCreation, refuseWhatIsMissing } from './creation-errors.ts';
import { currentConfig } from './current-config.ts';
import { DomainDevices } from './domain-devices.ts';
import { cleanUpLines, LibxlError, libxlLine, noSuchDomainType } from './libxl-error.ts';
import { makeDomain } from './make-domain.ts';
import { isEnd, type CreateOptions, type DomainEvent, type ManagedDomain } from './managed-domain.ts';
import { acknowledged, withdrawn, type ControlRequest } from './pv-control.ts';
import type { DomainServices } from './services.ts';
import * as tree from './xenstore-tree.ts';

const dom0Name = 'Domain-0';

export class DomainManager {
  readonly #services: DomainServices;
  readonly #domains = new Map<number, ManagedDomain>();
  readonly #listeners = new Set<(event: DomainEvent) => void>();
  readonly #unsubscribe: () => void;
  /** Their devices while they run. */
  readonly devices: DomainDevices;
  #lastDomid = 0;
  /** The host goes down: no domain is made any more. */
  stopping = false;

  constructor(services: DomainServices) {
    this.#services = services;
    this.devices = new DomainDevices({
      xs: this.#store,
      clock: services.clock,
      domain: (domid) => this.domain(domid),
      images: services.images,
    });
    this.#unsubscribe = services.hypervisor.onDomainException((domid) => this.#onException(domid));
  }

  domain(domid: number): ManagedDomain | undefined {
    return this.#domains.get(domid);
  }

  /** Ascending by domid, without domain 0. */
  domains(): readonly ManagedDomain[] {
    return [...this.#domains.values()].sort((a, b) => a.domid - b.domid);
  }

  /** By name; domain 0 has the one that xenstore says. */
  domidOf(name: string): number | undefined {
    // A domain may have no name, and then has not that of another.
    if (name === '') return undefined;
    if (name === this.nameOf(0)) return 0;
    return this.domains().find((domain) => domain.name === name)?.domid;
  }

  nameOf(domid: number): string | undefined {
    if (domid === 0) return this.#services.store.client().read(`${tree.domainPath(0)}/name`) ?? dom0Name;
    return this.#domains.get(domid)?.name;
  }

  /** Returns what ends it. */
  onEvent(listener: (event: DomainEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The new domain is paused. Throws XenError with what libxl would say. */
  async create(config: DomainConfig, options: CreateOptions = {}): Promise<ManagedDomain> {
    try {
      return await this.#create(config, options);
    } catch (error) {
      await this.#removeOverlays(config);
      throw error;
    }
  }

  async #create(config: DomainConfig, options: CreateOptions): Promise<ManagedDomain> {
    if (this.stopping) throw new LibxlError('FAIL', ['xl: the daemon is about to end']);
    this.#services.scheduling.check(config);
    refuseWhatIsMissing(config);
    const domain = makeDomain(this.#services, config, options, this.#lastDomid + 1);
    const { domid } = domain;
    this.#lastDomid = domid;
    this.#domains.set(domid, domain);
    try {
      checkDisks(domid, config.devices.disks ?? []);
      config.devices.nics = checkNics(domid, config.devices.nics ?? []);
      tree.writeSkeleton(this.#store, { domid, name: '', uuid: domain.uuid });
      this.#takeName(domain);
      this.#services.scheduling.admit(domid, config);
      await buildDomain(this.#services, this.#glue, domain, options);
      return domain;
    } catch (error) {
      const destroyed = domain.destruction !== undefined;
      if (this.#domains.has(domid)) await this.destroy(domid);
      // What goes wrong in a domain that was destroyed meanwhile is no news.
      if (destroyed)
        throw failedCreation(
          new LibxlError('FAIL', [`libxl: error: Domain ${domid}:destroyed while it was made`]),
          domid,
        );
      throw error instanceof XenError ? failedCreation(error, domid) : error;
    }
  }

  pause(domid: number): void {
    this.#control(domid, 'libxl_domain_pause', 'Pausing domain').pause();
    this.#tell({ kind: 'paused', domid });
  }

  unpause(domid: number): void {
    this.#control(domid, 'libxl_domain_unpause', 'Unpausing domain').unpause();
    const domain = this.#domains.get(domid);
    if (domain !== undefined) domain.resting = undefined;
    this.#tell({ kind: 'unpaused', domid });
  }

  /** Asks the guest through xenstore; resolves when its kernel has taken notice. */
  async request(domid: number, request: ControlRequest): Promise<void> {
    // Nobody reads domain 0's node; real xl returns at once too, since dom0's kernel answers.
    if (domid === 0) return;
    if (!this.#domains.has(domid)) throw noSuchDomainType(domid);
    const gone = new AbortController();
    const stop = this.onEvent((event) => {
      if (event.domid === domid && isEnd(event)) gone.abort();
    });
    try {
      await acknowledged(this.#store, domid, request, this.#services.clock, gone.signal);
    } finally {
      stop();
    }
  }

  /** A request that the guest's kernel has not taken yet is taken back; false: it has. */
  withdraw(domid: number, request: ControlRequest): boolean {
    return this.#domains.has(domid) && withdrawn(this.#store, domid, request);
  }

  sendSysrq(domid: number, letter: string): void {
    if (!this.#domains.has(domid)) throw noSuchDomainType(domid);
    this.#store.write(`${tree.domainPath(domid)}/control/sysrq`, letter);
  }

  rename(domid: number, name: string): void {
    const owner = this.domidOf(name);
    if (owner === domid) return;
    if (owner !== undefined) throw new DuplicateName(domid, name);
    if (domid === 0) {
      this.#store.write(`${tree.domainPath(0)}/name`, name);
      return;
    }
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    tree.writeName(this.#store, domain, name);
    domain.name = name;
    domain.config.c_info.name = name;
  }

  /** What the domain's successor is made from: the configuration that it was given since, or its own with the memory and vCPUs that it has now. */
  successorConfig({ domid, config, nextConfig }: ManagedDomain): DomainConfig {
    return nextConfig ?? currentConfig(this.#store, domid, config);
  }

  /** For the next time that the domain reboots. */
  setNextConfig(domid: number, config: DomainConfig): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    domain.nextConfig = config;
  }

  /** After a suspend: the guest goes on here, and is told that the suspend was cancelled. */
  resume(domid: number): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    domain.control.resume();
    domain.announced = false;
    this.#tell({ kind: 'resumed', domid });
  }

  /**
   * The domain as it is at a moment, for clones to begin from; a guest that runs goes on afterwards. Throws LibxlError for one that cannot be cloned.
   *
   * @param name what clones are called after, in place of the domain's own
   */
  snapshot(domid: number, name?: string): Promise<DomainSnapshot> {
    return takeSnapshot(this, domid, this.#services, name);
  }

  /** Gives a dead domain another name and UUID, so that its successor can have the old ones. */
  preserve(domid: number, name: string): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    const uuid = generateUuid();
    tree.moveVm(this.#store, domid, domain.uuid, uuid, name);
    domain.control.setHandle(uuidBytes(uuid));
    domain.uuid = uuid;
    domain.name = name;
  }

  /** Resolves when nothing is left of the domain. `successor`: what is made in its place, and gets its overlays. */
  destroy(domid: number, successor?: DomainConfig): Promise<void> {
    const domain = this.#domains.get(domid);
    if (domain === undefined) return Promise.reject(new LibxlError('DOMAIN_NOTFOUND', cleanUpLines(domid)));
    domain.destruction ??= this.#destroy(domain, successor);
    return domain.destruction;
  }

  async close(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.domains().map((domain) => this.destroy(domain.domid)));
    this.#unsubscribe();
    this.#listeners.clear();
  }

  get #glue(): DeviceGlue {
    return { xs: this.#store, clock: this.#services.clock };
  }

  get #store(): ReturnType<DomainServices['store']['client']> {
    return this.#services.store.client();
  }

  #takeName(domain: ManagedDomain): void {
    const { name } = domain.config.c_info;
    if (this.domidOf(name) !== undefined) {
      const made = libxlLine('initiate_domain_create', `Domain ${domain.domid}:cannot make domain: -6`);
      throw new DuplicateName(domain.domid, name, [made]);
    }
    tree.writeName(this.#store, domain, name);
    domain.name = name;
  }

  async #destroy(domain: ManagedDomain, successor: DomainConfig | undefined): Promise<void> {
    const { domid, control } = domain;
    const { store } = this.#services;
    if (!control.info().shutdown) control.pause();
    // What a backend has open is closed, and what was written is on disk, when the domain is gone.
    await Promise.all(devicesOf(this.#store, domid).map((device) => removeDevice(this.#glue, device, 'yes')));
    try {
      store.releaseDomain(domid);
    } catch {
      // It was never introduced.
    }
    await control.destroy();
    tree.removeDomain(this.#store, domain);
    this.#services.scheduling.forget(domid);
    this.#domains.delete(domid);
    await this.#removeOverlays(domain.config, successor);
    this.#tell({ kind: 'destroyed', domid });
  }

  /** Overlays that no other domain has. */
  async #removeOverlays(gone: DomainConfig, successor?: DomainConfig): Promise<void> {
    const others = [...this.#domains.values()].map(({ config }) => config);
    const kept = [...others, ...(successor === undefined ? [] : [successor])].flatMap(
      ({ devices }) => devices.disks ?? [],
    );
    await removeOverlays(this.#services.images, gone.devices.disks ?? [], kept);
  }

  #onException(domid: number): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined || domain.announced || domain.destruction !== undefined) return;
    const info: DomainInfo = domain.control.info();
    if (!info.shutdown) return;
    domain.announced = true;
    this.#tell({ kind: 'shutdown', domid, reason: info.shutdownReason ?? 0 });
  }

  #tell(event: DomainEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  #control(domid: number, where: 'libxl_domain_pause' | 'libxl_domain_unpause', what: string): DomainControl {
    const domain = this.#domains.get(domid);
    if (domain !== undefined) return domain.control;
    const why = domid === 0 ? 'Invalid argument' : 'No such process';
    throw new LibxlError('FAIL', [libxlLine(where, `${domid === 0 ? '' : `Domain ${domid}:`}${what}: ${why}`)]);
  }
}
