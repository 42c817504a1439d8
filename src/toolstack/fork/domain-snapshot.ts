/**
 * Domains that are cloned: a guest suspends as for a save, its memory becomes a template, and it goes on. A clone begins in the template as a domain begins that was
 * restored, under a name, UUID and MAC addresses of its own; its frontends connect anew.
 */
import { HypercallError, type DomainControl, type DomainTemplate, type Symbolizer } from '../../hypervisor/control.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { errorText } from '../domain/libxl-error.ts';
import { occupied } from '../domain/occupation.ts';
import type { BuiltRings, DomainServices } from '../domain/services.ts';
import { renewSharedInfo, renewStartInfo, startInfoOf, type ArrivalRings } from '../migration/arrival.ts';
import { viewOf } from '../migration/records.ts';
import { suspend } from '../migration/suspend.ts';
import { XenError } from '../xen-error.ts';
import { StartInfo } from '../../abi/start-info.ts';
import { snapshotDisks, type DisksSnapshot } from '../devices/disk-layers.ts';
import { cloneConfig, type CloneIdentity } from './clone-config.ts';

export interface ForkOptions extends CloneIdentity {
  /** It does not run before it is unpaused. */
  readonly paused?: boolean;
}

export interface DomainSnapshot {
  /** Makes a clone, which runs, and returns its number. Throws XenError. */
  fork(options?: ForkOptions): Promise<number>;
  /** No more clones; those that there are go on, whatever becomes of the domain. */
  close(): Promise<void>;
}

/** Where a guest that is suspended will look. */
type ArrivalPages = Pick<ArrivalRings, 'startInfoMfn' | 'storeMfn' | 'consoleMfn'>;

/** Clones of a domain that are under way: each is taken after the one before. */
const turns = new WeakMap<ManagedDomain, Promise<unknown>>();

/** See DomainManager.snapshot. */
export async function takeSnapshot(
  manager: DomainManager,
  domid: number,
  services: DomainServices,
  name?: string,
): Promise<DomainSnapshot> {
  const domain = manager.domain(domid);
  if (domain === undefined) throw notForked(domid, domid === 0 ? 'Invalid argument' : 'No such process');
  const before = turns.get(domain) ?? Promise.resolve();
  const turn = before
    .catch(() => undefined)
    .then(() => occupied(domain, 'cloned', () => take(manager, domain, services, name)));
  turns.set(domain, turn);
  return turn;
}

async function take(
  manager: DomainManager,
  domain: ManagedDomain,
  services: DomainServices,
  name = domain.name,
): Promise<DomainSnapshot> {
  const { domid, control } = domain;
  const { clock, disks, images } = services;
  const rests = domain.resting !== undefined;
  const { paused, shutdown } = control.info();
  if (shutdown) throw notForked(domid, 'it has shut down');
  if (!rests && paused) throw notForked(domid, 'it is paused, and cannot suspend');
  if (!rests) await suspend(manager, domain, clock);
  try {
    // What is read from a disk lands in the guest's memory.
    await disks?.restDisks(domid);
    await control.prepareFreeze();
    if (rests && domain.resting === undefined) throw notForked(domid, 'it was unpaused meanwhile');
    const disksSnapshot = await snapshotDisks(images, domain.config.devices.disks ?? []);
    try {
      return freeze(manager, domain, disksSnapshot, name);
    } catch (error) {
      await disksSnapshot.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof HypercallError) throw notForked(domid, errorText(error), error);
    throw error;
  } finally {
    if (domain.destruction === undefined) {
      await disks?.reclaimDisks(domid);
      if (!rests) manager.resume(domid);
    }
  }
}

/** At once: nothing of the guest changes meanwhile. */
function freeze(manager: DomainManager, domain: ManagedDomain, disks: DisksSnapshot, name: string): DomainSnapshot {
  const { control } = domain;
  const { frames, sharedInfoMfn, symbolize } = control;
  const pages = domain.resting === undefined ? arrivalPages(domain) : restingPages(domain, domain.resting);
  // What it is, and not what it is to be after a reboot.
  const config = structuredClone(manager.successorConfig({ ...domain, nextConfig: undefined }));
  config.c_info.name = name;
  return new Snapshot(manager, {
    config,
    pages,
    sharedInfo: frames.view(sharedInfoMfn).slice(),
    symbolize,
    disks,
    template: control.freeze(),
  });
}

function restingPages({ domid }: ManagedDomain, { startInfoMfn, storeMfn, consoleMfn }: BuiltRings): ArrivalPages {
  if (startInfoMfn === undefined) throw notForked(domid, 'its kernel has not begun');
  return { startInfoMfn, storeMfn, consoleMfn };
}

/** A guest that has suspended has PFNs in its start_info. */
function arrivalPages({ domid, control }: ManagedDomain): ArrivalPages {
  const context = control.getVcpuContext(0);
  if (context === undefined) throw notForked(domid, 'its first vCPU does not tell its registers');
  const frame = (mfn: number | undefined, what: string): number => {
    if (mfn !== undefined && control.pfnOf(mfn) !== undefined) return mfn;
    throw notForked(domid, `the guest has ${what} in a frame that is none of its pages`);
  };
  const startInfoMfn = frame(startInfoOf(viewOf(context)), 'its start_info');
  const { store_mfn, console_mfn } = StartInfo.read(viewOf(control.frames.view(startInfoMfn)), 0);
  return {
    startInfoMfn,
    storeMfn: frame(mfnOf(control, store_mfn), "xenstore's ring"),
    consoleMfn: frame(mfnOf(control, console_mfn), "the console's ring"),
  };
}

/** Most frames have the number of their page. */
function mfnOf(control: DomainControl, pfn: number): number | undefined {
  if (control.pfnOf(pfn) === pfn) return pfn;
  for (let mfn = 0; mfn < control.sharedInfoMfn; mfn++) if (control.pfnOf(mfn) === pfn) return mfn;
  return undefined;
}

interface Frozen {
  readonly config: DomainConfig;
  readonly pages: ArrivalPages;
  readonly sharedInfo: Uint8Array;
  readonly symbolize: Symbolizer | undefined;
  readonly disks: DisksSnapshot;
  readonly template: DomainTemplate;
}

class Snapshot implements DomainSnapshot {
  readonly #manager: DomainManager;
  readonly #frozen: Frozen;
  /** Names of clones that are being made. */
  readonly #taken = new Set<string>();

  constructor(manager: DomainManager, frozen: Frozen) {
    this.#manager = manager;
    this.#frozen = frozen;
  }

  async fork(options: ForkOptions = {}): Promise<number> {
    const { config: parent, template, disks } = this.#frozen;
    const isFree = (name: string): boolean => this.#manager.domidOf(name) === undefined && !this.#taken.has(name);
    const config = cloneConfig(parent, options, isFree);
    const { name } = config.c_info;
    this.#taken.add(name);
    try {
      // They go with the domain, made or not.
      if (parent.devices.disks !== undefined) config.devices.disks = await disks.clone();
      const restore = (control: DomainControl): Promise<BuiltRings> => Promise.resolve(this.#arrive(control));
      const runsSoon = options.paused !== true;
      const { domid } = await this.#manager.create(config, { template, restore, runsSoon });
      if (runsSoon) this.#manager.unpause(domid);
      return domid;
    } finally {
      this.#taken.delete(name);
    }
  }

  close(): Promise<void> {
    this.#frozen.template.close();
    return this.#frozen.disks.close();
  }

  #arrive(control: DomainControl): BuiltRings {
    const { pages, sharedInfo, symbolize } = this.#frozen;
    const rings = { ...pages, storePort: control.allocUnbound(0), consolePort: control.allocUnbound(0) };
    renewSharedInfo(control, sharedInfo);
    renewStartInfo(control, rings);
    control.seedGrant(CONSOLE_GRANT, rings.consoleMfn);
    control.seedGrant(STORE_GRANT, rings.storeMfn);
    if (symbolize !== undefined) control.setSymbols(symbolize);
    return rings;
  }
}

const CONSOLE_GRANT = 0;
const STORE_GRANT = 1;

function notForked(domid: number, why: string, cause?: unknown): XenError {
  return new XenError(`domain ${domid} cannot be forked: ${why}`, { cause });
}
