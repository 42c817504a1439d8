/** The backends of split devices that run in the daemon, one for each kind of directory below `backend/`. */
import {
  BackendDevices,
  type BackendServices,
  type DeviceAddress,
  type DeviceStatistics,
} from '../../dom0/backend/index.ts';
import { ConsoleDriver, type ConsoleDriverServices } from '../../dom0/console/index.ts';
import { VbdDriver, type VbdServices } from '../../dom0/block/index.ts';
import type { DiskImages } from '../../dom0/disk/index.ts';
import { netback } from '../../dom0/net/back/index.ts';
import { vifBridge, type Bridges } from '../../dom0/net/vif-bridge.ts';
import type { Timers } from '../../dom0/net/timers.ts';
import type { Scheduler } from '../../dom0/scheduler.ts';

export interface BackendOptions extends Omit<BackendServices, 'timers'> {
  /** What disks are opened by; without it they cannot be. */
  readonly images: DiskImages | undefined;
  /** What vifs are connected to; without it they cannot be. */
  readonly bridges: Bridges | undefined;
  /** For the consoles beside the first; without it there are none. */
  readonly consoles?: Omit<ConsoleDriverServices, 'xs' | 'scheduler' | 'timers'>;
  /** Of the host: Linux' netback gives as many queues. */
  readonly nrCpus: number;
  readonly scheduler: Scheduler;
}

/** A disk or an interface that a backend serves. */
export interface ServedDevice {
  readonly domid: number;
  readonly devid: number;
  readonly statistics: DeviceStatistics;
}

export interface Backends {
  readonly disks: readonly ServedDevice[];
  readonly nics: readonly ServedDevice[];
  /** A domain that moves to another host lets go of its disks, or keeps them after all. */
  releaseDisks(domid: number): Promise<void>;
  /** Nothing that it asked of its disks is under way when this resolves, and none of it is answered before `reclaimDisks`. */
  restDisks(domid: number): Promise<void>;
  reclaimDisks(domid: number): Promise<void>;
  /** Resolves when all that they had open is closed. */
  close(): Promise<void>;
}

/** More would be of no use: all are served by one thread. */
const MAX_QUEUES = 8;

const timers: Timers = {
  now: () => performance.now(),
  after(milliseconds, task) {
    const timer = setTimeout(task, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};

export function startBackends(options: BackendOptions): Backends {
  const { bridges, images, scheduler, xs } = options;
  const services: BackendServices = {
    control: options.control,
    xs,
    onError: options.onError,
    log: options.log,
    timers,
  };
  const vbd: VbdServices = {
    scheduler,
    timers,
    openDisk({ path, format, readOnly }) {
      if (images === undefined) return Promise.reject(new Error('disks cannot be opened here'));
      return images.open(path, { format, readOnly });
    },
  };
  const maxQueues = Math.min(options.nrCpus, MAX_QUEUES);
  const vif = netback({ xs, scheduler, timers, maxQueues, findBridge: (address) => vifBridge(bridges, address) });
  const more = options.consoles && new ConsoleDriver({ xs, scheduler, timers, ...options.consoles });
  const disks = [
    new BackendDevices(new VbdDriver('vbd', vbd), services),
    new BackendDevices(new VbdDriver('qdisk', vbd), services),
  ];
  const nics = new BackendDevices(vif, services);
  const kinds = [...disks, nics, ...(more ? [new BackendDevices(more, services)] : [])];
  const ofDisks = async (work: (kind: (typeof disks)[number]) => Promise<void>): Promise<void> => {
    await Promise.all(disks.map(work));
  };
  return {
    get disks() {
      return disks.flatMap((kind) => kind.devices().map(served));
    },
    get nics() {
      return nics.devices().map(served);
    },
    releaseDisks: (domid) => ofDisks((kind) => kind.release(domid)),
    restDisks: (domid) => ofDisks((kind) => kind.rest(domid)),
    reclaimDisks: (domid) => ofDisks((kind) => kind.reclaim(domid)),
    close: async () => {
      await Promise.all(kinds.map((kind) => kind.close()));
    },
  };
}

function served({
  address,
  statistics,
}: Omit<ServedDevice, 'domid' | 'devid'> & { readonly address: DeviceAddress }): ServedDevice {
  const { domid, devid } = address;
  return { domid, devid, statistics };
}
