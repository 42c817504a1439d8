/**
 * The domains of this host from creation to clean-up: libxl's part. Order of events at creation, as libxl has it: domain made →
 * xenstore skeleton → image built → what the kernel needs in xenstore → introduced → console → unpaused. Whatever fails on
 * the way takes everything back that was done before.
 */
import { Errno } from '../../abi/errno.ts';
import { HypercallError, type DomainControl, type DomainInfo, type DomainTemplate } from '../../hypervisor/control.ts';
import type { BootloaderFiles } from '../bootloader/service.ts';
import type { BuildLog } from '../builder/build-log.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { JsonObject } from '../config/json.ts';
import { generateUuid, uuidBytes } from '../config/uuid.ts';
import { addChannels, listChannels, type ChannelSummary } from '../devices/channels.ts';
import { boundDisk, removeOverlays } from '../devices/disk-layers.ts';
import { addDisk, addDisks, checkDisks, diskOf, listDisks, removeDisk, type DiskSummary } from '../devices/disks.ts';
import { addNic, addNics, checkNics, listNics, nicOf, setNicEgress, type NicSummary } from '../devices/nics.ts';
import { devicesOf, removeDevice, type DeviceGlue } from '../devices/split-device.ts';
import { diskNumber } from '../devices/vdev.ts';
import { takeSnapshot, type DomainSnapshot } from '../fork/domain-snapshot.ts';
import { XenError } from '../xen-error.ts';
import { duplicateName, failedCreation, noMemory, refuseWhatIsMissing } from './creation-errors.ts';
import { cleanUpLines, errorText, LibxlError, libxlLine, noSuchDomainType } from './libxl-error.ts';
import { maxMemSlackKiB } from './memory-target.ts';
import { currentConfig } from './current-config.ts';
import { acknowledged, type ControlRequest } from './pv-control.ts';
import type { BuiltRings, DomainServices } from './services.ts';
import * as tree from './xenstore-tree.ts';

export interface ManagedDomain {
  readonly domid: number;
  readonly control: DomainControl;
  /** Changes when the domain is preserved under another identity. */
  uuid: string;
  name: string;
  /** What the domain is made from again after a reboot. */
  readonly config: DomainConfig;
  /** `xl config-update`: what it is made from then, in place of `config`. */
  nextConfig: DomainConfig | undefined;
  readonly startTime: number;
  /** Its shutdown has been told to those who listen. */
  announced: boolean;
  /** Until it runs, for a guest that was suspended and has arrived here: what it will look for. */
  resting: BuiltRings | undefined;
  /** Set once destruction has begun. */
  destruction: Promise<void> | undefined;
}

export type DomainEvent =
  | { readonly kind: 'paused'; readonly domid: number }
  | { readonly kind: 'unpaused'; readonly domid: number }
  | DomainEnd
  /** After a suspend the domain goes on. */
  | { readonly kind: 'resumed'; readonly domid: number };

export type DomainEnd =
  | { readonly kind: 'shutdown'; readonly domid: number; readonly reason: number }
  | { readonly kind: 'destroyed'; readonly domid: number };

export function isEnd(event: DomainEvent): event is DomainEnd {
  return event.kind === 'shutdown' || event.kind === 'destroyed';
}

export interface CreateOptions {
  /** xl -v: what the builder does, line by line. */
  readonly log?: BuildLog;
  /** In place of building it: fills the paused domain with what was saved. Throws StreamError. */
  readonly restore?: (control: DomainControl) => Promise<BuiltRings>;
  /** With `restore`: what the domain has in it already. */
  readonly template?: DomainTemplate;
  /** With a template: it is unpaused as soon as it is there. */
  readonly runsSoon?: boolean;
}

/** libxl's defaults: LIBXL_MAX_VCPUS handling, memory of a domain that asks for none. */
const defaultMemoryKiB = 32 * 1024;
const dom0Name = 'Domain-0';
/** libxl's: no number is asked for. */
const INVALID_DOMID = 0xffff_ffff;

export class DomainManager {
  readonly #services: DomainServices;
  readonly #domains = new Map<number, ManagedDomain>();
  readonly #listeners = new Set<(event: DomainEvent) => void>();
  readonly #unsubscribe: () => void;
  #lastDomid = 0;
  /** The host goes down: no domain is made any more. */
  stopping = false;

  constructor(services: DomainServices) {
    this.#services = services;
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
    const domain = this.#make(config, options);
    const { domid } = domain;
    this.#domains.set(domid, domain);
    try {
      checkDisks(domid, config.devices.disks ?? []);
      config.devices.nics = checkNics(domid, config.devices.nics ?? []);
      tree.writeSkeleton(this.#store, { domid, name: '', uuid: domain.uuid });
      this.#takeName(domain);
      this.#services.scheduling.admit(domid, config);
      await this.#build(domain, options);
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

  sendSysrq(domid: number, letter: string): void {
    if (!this.#domains.has(domid)) throw noSuchDomainType(domid);
    this.#store.write(`${tree.domainPath(domid)}/control/sysrq`, letter);
  }

  rename(domid: number, name: string): void {
    const owner = this.domidOf(name);
    if (owner === domid) return;
    if (owner !== undefined) throw duplicateName(domid, name);
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
   */
  snapshot(domid: number): Promise<DomainSnapshot> {
    return takeSnapshot(this, domid, this.#services);
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

  /** Resolves when the disk can be used. It is part of the domain's configuration from then on. */
  async attachDisk(domid: number, disk: JsonObject): Promise<void> {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    await addDisk(this.#devices, domid, disk);
    const { devices } = domain.config;
    devices.disks = [...(devices.disks ?? []), disk];
  }

  /** Resolves when nobody uses the disk any more. `force` does not wait for the guest. */
  async detachDisk(domid: number, vdev: string, force: boolean): Promise<void> {
    const device = diskOf(this.#devices, domid, vdev);
    await removeDisk(this.#devices, device, force ? 'yes' : 'no');
    const devices = this.#domains.get(domid)?.config.devices;
    if (devices?.disks === undefined) return;
    const before = devices.disks;
    devices.disks = before.filter((disk) => diskNumber(String(disk['vdev'])) !== device.devid);
    await removeOverlays(this.#services.images, before, devices.disks);
  }

  /** Resolves when the interface is connected. It is part of the domain's configuration from then on. */
  async attachNic(domid: number, nic: JsonObject): Promise<void> {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    const { devices } = domain.config;
    const added = await addNic(this.#devices, domid, nic);
    devices.nics = [...(devices.nics ?? []), added];
  }

  /** Resolves when nobody uses the interface any more. `which`: its number or MAC address. */
  async detachNic(domid: number, which: string): Promise<void> {
    const device = nicOf(this.#devices, domid, which);
    await removeDevice(this.#devices, device, 'no');
    const devices = this.#domains.get(domid)?.config.devices;
    if (devices?.nics === undefined) return;
    devices.nics = devices.nics.filter(({ devid }) => devid !== device.devid);
  }

  /** What the interface may reach, from now on and after a reboot. `rules`: as `parseEgress` reads them. */
  setEgress(domid: number, devid: number, rules: string): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    setNicEgress(this.#devices, domid, devid, rules);
    const { devices } = domain.config;
    devices.nics = (devices.nics ?? []).map((nic) => (nic['devid'] === devid ? { ...nic, egress: rules } : nic));
  }

  channels(domid: number): readonly ChannelSummary[] {
    return listChannels(this.#devices, domid);
  }

  nics(domid: number): readonly NicSummary[] {
    return listNics(this.#devices, domid);
  }

  /** libxl_cdrom_insert. The medium of a PV guest's drive cannot be changed: its driver would not notice. */
  insertCdrom(domid: number): void {
    if (!this.#domains.has(domid)) throw noSuchDomainType(domid);
    throw new LibxlError('INVAL', [
      libxlLine('libxl_cdrom_insert', `Domain ${domid}:cdrom-insert requires an HVM domain`),
    ]);
  }

  disks(domid: number): readonly DiskSummary[] {
    return listDisks(this.#devices, domid);
  }

  /** Why the domain cannot be written down or moved, if that is because of its disks. */
  boundDisk({ config }: ManagedDomain, to: 'be saved' | 'move'): string | undefined {
    return boundDisk(this.#services.images, config.devices.disks ?? [], to);
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

  get #devices(): DeviceGlue {
    return { xs: this.#store, clock: this.#services.clock };
  }

  get #store(): ReturnType<DomainServices['store']['client']> {
    return this.#services.store.client();
  }

  #make(config: DomainConfig, { template, runsSoon }: CreateOptions): ManagedDomain {
    const { b_info, c_info } = config;
    const uuid = (c_info.uuid ??= generateUuid());
    const memoryKiB = Math.max(b_info.max_memkb ?? defaultMemoryKiB, b_info.target_memkb ?? 0);
    const { event_channels: ports, max_grant_frames: grantFrames, max_grant_version: grantVersion } = b_info;
    try {
      const control = this.#services.hypervisor.createDomain({
        ...(c_info.domid === undefined || c_info.domid === INVALID_DOMID ? {} : { domid: c_info.domid }),
        handle: uuidBytes(uuid),
        maxVcpus: maxVcpus(config),
        maxMemKiB: memoryKiB + maxMemSlackKiB,
        memmapLimitKiB: memoryKiB,
        ...(ports === undefined || ports === 0 ? {} : { maxEvtchnPort: ports }),
        ...(grantFrames === undefined ? {} : { maxGrantFrames: grantFrames }),
        ...(grantVersion === 1 || grantVersion === 2 ? { maxGrantVersion: grantVersion } : {}),
        ...(template === undefined ? {} : { template, runsSoon: runsSoon === true }),
      });
      this.#lastDomid = control.domid;
      const startTime = this.#services.clock.now();
      return {
        domid: control.domid,
        control,
        uuid,
        name: '',
        config,
        nextConfig: undefined,
        startTime,
        announced: false,
        resting: undefined,
        destruction: undefined,
      };
    } catch (error) {
      if (error instanceof HypercallError) throw this.#cannotMake(error);
      throw error;
    }
  }

  #cannotMake(error: HypercallError): XenError {
    // Memory is set aside when a domain is made, in Xen when it is built: the words are those of building.
    if (error.errno === Errno.ENOMEM) return failedCreation(noMemory(error), this.#lastDomid + 1);
    const why = errorText(error);
    return new LibxlError(
      'FAIL',
      [
        libxlLine('libxl__domain_make', `domain creation fail: ${why}`),
        libxlLine('initiate_domain_create', 'cannot make domain: -3'),
      ],
      why,
      error,
    );
  }

  #takeName(domain: ManagedDomain): void {
    const { name } = domain.config.c_info;
    if (this.domidOf(name) !== undefined) {
      const { lines } = duplicateName(domain.domid, name);
      const made = libxlLine('initiate_domain_create', `Domain ${domain.domid}:cannot make domain: -6`);
      throw new LibxlError('INVAL', [...lines, made], `a domain named "${name}" exists already`);
    }
    tree.writeName(this.#store, domain, name);
    domain.name = name;
  }

  async #build(domain: ManagedDomain, { log, restore }: CreateOptions): Promise<void> {
    const { domid, control, config } = domain;
    const { b_info } = config;
    const targetMemKiB = b_info.target_memkb ?? defaultMemoryKiB;
    // A domain that is restored has its kernel in its memory.
    const files =
      restore === undefined
        ? await this.#files(domain)
        : { ...b_info, kernel: b_info.kernel ?? '', remove: () => undefined };
    const { kernel, ramdisk, cmdline } = files;
    let rings: BuiltRings;
    try {
      const request = { kernel, ramdisk, cmdline: cmdline ?? '', memoryKiB: targetMemKiB, log };
      rings = await (restore === undefined ? this.#services.build(control, request) : restore(control));
    } finally {
      files.remove();
    }
    if (domain.destruction !== undefined) throw new Error('destroyed while it was built');
    if (restore !== undefined) domain.resting = rings;
    tree.writeBuilt(this.#store, domain, {
      maxMemKiB: Math.max(b_info.max_memkb ?? targetMemKiB, targetMemKiB),
      targetMemKiB,
      videoRamKiB: b_info.video_memkb ?? 0,
      storeMfn: rings.storeMfn,
      storePort: rings.storePort,
      maxVcpus: maxVcpus(config),
      availableVcpus: b_info.avail_vcpus ?? [0],
      kernel,
      ramdisk,
      cmdline,
      startTime: domain.startTime,
    });
    this.#services.store.introduceDomain(domid, rings.storeMfn, rings.storePort);
    tree.writeConsole(this.#store, domid, rings.consolePort, rings.consoleMfn);
    this.#services.consoles.serve(domid);
    await addChannels(this.#devices, domid, config.devices.channels ?? []);
    await addDisks(this.#devices, domid, config.devices.disks ?? []);
    await addNics(this.#devices, domid, config.devices.nics ?? []);
  }

  /** What to boot: from this host, or, with a bootloader, from the domain's first disk. */
  async #files({ domid, config }: ManagedDomain): Promise<BootloaderFiles> {
    const { kernel, ramdisk, cmdline, bootloader, bootloader_args: args } = config.b_info;
    if (bootloader === undefined) return { kernel: kernel ?? '', ramdisk, cmdline, remove: () => undefined };
    const disk = config.devices.disks?.[0];
    return this.#services.bootloader({ domid, bootloader, args: args ?? [], kernel, ramdisk, cmdline, disk });
  }

  async #destroy(domain: ManagedDomain, successor: DomainConfig | undefined): Promise<void> {
    const { domid, control } = domain;
    const { store } = this.#services;
    if (!control.info().shutdown) control.pause();
    // What a backend has open is closed, and what was written is on disk, when the domain is gone.
    await Promise.all(devicesOf(this.#store, domid).map((device) => removeDevice(this.#devices, device, 'yes')));
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

function maxVcpus(config: DomainConfig): number {
  return Math.max(1, config.b_info.max_vcpus ?? 1);
}
