/** The disks of a guest while it runs. */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { HostParts } from '../assembly/assemble-host.ts';
import { parseDisk } from '../config/disk-spec.ts';
import type { JsonObject } from '../config/json.ts';
import { diskNumber } from '../devices/vdev.ts';
import { withAbsoluteTarget } from '../xl/disk-arguments.ts';
import { abortable } from './abortable.ts';
import { diskSpec, freeVdev } from './config-text.ts';
import { withApiErrors } from './errors.ts';
import type { DiskConfig } from './guest-config.ts';
import type { KeepAlive } from './keep-alive.ts';
import type { WaitOptions } from './wait-options.ts';

/** A disk of a guest at one moment. */
export interface DiskInfo {
  /** As the guest knows it, `xvda`. */
  readonly vdev: string;
  /** The image's path. */
  readonly target: string;
  /** The image's: `raw`, `qcow2` or `vhd`. */
  readonly format: string;
  /** The guest cannot write to it. */
  readonly readOnly: boolean;
  /** The guest's driver uses it. */
  readonly connected: boolean;
}

/** How a disk is taken away. */
export interface DetachOptions extends WaitOptions {
  /** Takes it away without waiting for the guest to let go of it. Default false. */
  readonly force?: boolean;
}

/** The disks of a guest while it runs. */
export class GuestDisks {
  readonly #glue: { readonly parts: HostParts; readonly keepAlive: KeepAlive };
  readonly #domid: () => number;

  /** @internal */
  constructor(glue: { readonly parts: HostParts; readonly keepAlive: KeepAlive }, domid: () => number) {
    this.#glue = glue;
    this.#domid = domid;
  }

  /** Those that it has now. Throws XenolithError with code GONE when it has ended. */
  list(): readonly DiskInfo[] {
    const domid = this.#domid();
    const { manager } = this.#glue.parts;
    const states = new Map(manager.devices.disks(domid).map(({ devid, state }) => [devid, state]));
    return this.#configs(domid).map((disk) => {
      const vdev = text(disk, 'vdev');
      return {
        vdev,
        target: text(disk, 'pdev_path'),
        format: text(disk, 'format'),
        readOnly: disk['readwrite'] === undefined,
        connected: states.get(diskNumber(vdev) ?? -1) === XenbusState.Connected,
      };
    });
  }

  /** Resolves with its name in the guest when the guest can use it. */
  async attach(config: DiskConfig, { signal }: WaitOptions = {}): Promise<string> {
    signal?.throwIfAborted();
    const attach = async (): Promise<string> => {
      const domid = this.#domid();
      const vdev = config.vdev ?? freeVdev(new Set(this.#configs(domid).map((disk) => text(disk, 'vdev'))));
      await this.#glue.parts.manager.devices.attachDisk(
        domid,
        withAbsoluteTarget(parseDisk([diskSpec(config, vdev)], 'disk')),
      );
      return vdev;
    };
    return this.#glue.keepAlive.during(abortable(withApiErrors(attach), signal));
  }

  /** Resolves when the guest does not use it any more, and its image is closed. */
  async detach(vdev: string, { force = false, signal }: DetachOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const detach = (): Promise<void> => this.#glue.parts.manager.devices.detachDisk(this.#domid(), vdev, force);
    await this.#glue.keepAlive.during(abortable(withApiErrors(detach), signal));
  }

  #configs(domid: number): readonly JsonObject[] {
    return this.#glue.parts.manager.domain(domid)?.config.devices.disks ?? [];
  }
}

function text(disk: JsonObject, member: string): string {
  const value = disk[member];
  return typeof value === 'string' ? value : '';
}
