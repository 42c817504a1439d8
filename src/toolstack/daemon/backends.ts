/** The backends of split devices that run in the daemon, one for each kind of directory below `backend/`. */
import { BackendDevices, type BackendServices } from '../../dom0/backend/index.ts';
import { VbdDriver, type VbdServices } from '../../dom0/block/index.ts';
import { openDisk, type DiskHost } from '../../dom0/disk/index.ts';
import type { Scheduler } from '../../dom0/scheduler.ts';

export interface BackendOptions extends Omit<BackendServices, 'timers'> {
  readonly diskHost: DiskHost | undefined;
  readonly scheduler: Scheduler;
}

export interface Backends {
  /** Resolves when all that they had open is closed. */
  close(): Promise<void>;
}

export function startBackends(options: BackendOptions): Backends {
  const { diskHost, scheduler } = options;
  const services: BackendServices = {
    control: options.control,
    xs: options.xs,
    onError: options.onError,
    log: options.log,
    timers: {
      after(milliseconds, task) {
        const timer = setTimeout(task, milliseconds).unref();
        return () => clearTimeout(timer);
      },
    },
  };
  const vbd: VbdServices = {
    scheduler,
    openDisk({ path, format, readOnly }) {
      if (diskHost === undefined) return Promise.reject(new Error('disks cannot be opened here'));
      return openDisk(diskHost, path, { format, readOnly });
    },
  };
  const kinds = [
    new BackendDevices(new VbdDriver('vbd', vbd), services),
    new BackendDevices(new VbdDriver('qdisk', vbd), services),
  ];
  return {
    close: async () => {
      await Promise.all(kinds.map((kind) => kind.close()));
    },
  };
}
