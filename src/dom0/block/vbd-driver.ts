/**
 * The block backend: devices below `backend/vbd` and `backend/qdisk`. In a Xen host the first are served by the kernel's blkback, with
 * raw images behind a loop device, the second by a process of QEMU that knows image formats; here both by this.
 */
import { BLKIF_SECTOR, VDISK } from '../../abi/io/blkif.ts';
import type { BackendDriver, BackendInstance, DeviceGlue, FrontendLink, Keys } from '../backend/index.ts';
import { SECTOR_SIZE, type Disk } from '../disk/index.ts';
import type { Scheduler, Timers } from '../scheduler.ts';
import { MAX_INDIRECT_SEGMENTS } from './block-request.ts';
import { IdleFlush } from './idle-flush.ts';
import { RequestQueue } from './request-queue.ts';
import { connectVbd, MAX_QUEUES, MAX_RING_PAGE_ORDER, type VbdConnection } from './vbd-connection.ts';
import { diskOf, type DiskWanted } from './vbd-params.ts';

export interface VbdServices {
  readonly openDisk: (wanted: DiskWanted) => Promise<Disk>;
  readonly scheduler: Scheduler;
  /** Without them no disk is flushed but when a guest asks. */
  readonly timers?: Timers;
  /**
   * Whether frontends may keep grants mapped. Xen's backends offer it, since mapping is dear there. Here it is cheap, and a
   * frontend that keeps grants copies all data through them.
   */
  readonly persistentGrants?: boolean;
}

export class VbdDriver implements BackendDriver<VbdConnection> {
  readonly type: 'vbd' | 'qdisk';
  readonly #services: VbdServices;

  constructor(type: 'vbd' | 'qdisk', services: VbdServices) {
    this.type = type;
    this.#services = services;
  }

  create(device: DeviceGlue): BackendInstance<VbdConnection> {
    return new VbdInstance(device, this.#services);
  }
}

class VbdInstance implements BackendInstance<VbdConnection> {
  readonly #device: DeviceGlue;
  readonly #services: VbdServices;
  #disk: Disk | undefined;
  #queues: readonly RequestQueue[] = [];
  #idleFlush: IdleFlush | undefined;

  constructor(device: DeviceGlue, services: VbdServices) {
    this.#device = device;
    this.#services = services;
  }

  features(): Keys {
    return {
      'feature-max-indirect-segments': MAX_INDIRECT_SEGMENTS,
      'multi-queue-max-queues': MAX_QUEUES,
      'max-ring-page-order': MAX_RING_PAGE_ORDER,
    };
  }

  async open(): Promise<Keys> {
    const wanted = diskOf(this.#device);
    this.#disk = wanted.path === '' ? noMedium : await this.#services.openDisk(wanted);
    return wanted.path === '' ? {} : { 'physical-device-path': wanted.path };
  }

  connect(link: FrontendLink): VbdConnection {
    return connectVbd(link, { persistent: this.#persistent });
  }

  serve(connection: VbdConnection): Keys {
    const disk = this.#disk;
    if (disk === undefined) throw new Error(`${this.#device.path}: serving before the disk is open`);
    const readOnly = disk.readOnly || this.#device.read('mode') !== 'w';
    const granularity = this.#device.read('discard-enable') === '0' || readOnly ? 0 : disk.discardGranularity;
    this.#idleFlush = readOnly ? undefined : this.#flushesAtRest(disk);
    this.#queues = connection.rings.map(
      (ring) =>
        new RequestQueue(ring, {
          device: this.#device,
          disk,
          readOnly,
          discard: granularity > 0,
          scheduler: this.#services.scheduler,
          onWritten: () => this.#idleFlush?.written(),
        }),
    );
    for (const queue of this.#queues) queue.start();
    const flag = (set: boolean): number => (set ? 1 : 0);
    return {
      'feature-flush-cache': flag(!readOnly),
      'feature-barrier': flag(!readOnly),
      'feature-discard': flag(granularity > 0),
      ...(granularity > 0 ? { 'discard-granularity': granularity, 'discard-alignment': 0, 'discard-secure': 0 } : {}),
      'feature-persistent': flag(this.#persistent),
      sectors: disk.size / BLKIF_SECTOR,
      info: this.#info(readOnly),
      'sector-size': SECTOR_SIZE,
      'physical-sector-size': SECTOR_SIZE,
    };
  }

  async quiesce(): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.stop()));
    this.#queues = [];
    this.#idleFlush?.stop();
    this.#idleFlush = undefined;
  }

  async close(): Promise<void> {
    const disk = this.#disk;
    this.#disk = undefined;
    await disk?.close();
  }

  /** What is in the page cache of a raw disk has nothing to wait for. */
  #flushesAtRest(disk: Disk): IdleFlush | undefined {
    const { timers } = this.#services;
    if (timers === undefined || disk.format === 'raw') return undefined;
    return new IdleFlush(disk, timers, (error) => {
      // The guest hears of it from its next flush.
      this.#device.warn(error instanceof Error ? error.message : String(error));
    });
  }

  get #persistent(): boolean {
    return this.#services.persistentGrants ?? false;
  }

  #info(readOnly: boolean): number {
    const cdrom = this.#device.read('device-type') === 'cdrom';
    const removable = this.#device.read('removable') === '1';
    return (cdrom ? VDISK.CDROM : 0) | (removable ? VDISK.REMOVABLE : 0) | (readOnly ? VDISK.READONLY : 0);
  }
}

/** A drive without a disk in it: no sectors, so every request is out of bounds. */
const noMedium: Disk = {
  format: 'raw',
  size: 0,
  readOnly: true,
  discardGranularity: 0,
  read: () => Promise.resolve(),
  write: () => Promise.resolve(),
  writeZeroes: () => Promise.resolve(),
  discard: () => Promise.resolve(),
  flush: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
