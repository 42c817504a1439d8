/** The devices of domains while they run: a domain's configuration has from then on what was added, and no more what was taken away. */
import type { DiskImages } from '../../dom0/disk/index.ts';
import type { JsonObject } from '../config/json.ts';
import { listChannels, type ChannelSummary } from '../devices/channels.ts';
import { boundDisk, removeOverlays } from '../devices/disk-layers.ts';
import { addDisk, diskOf, listDisks, removeDisk, type DiskSummary } from '../devices/disks.ts';
import { addNic, listNics, nicOf, setNicEgress, type NicSummary } from '../devices/nics.ts';
import { removeDevice, type DeviceGlue } from '../devices/split-device.ts';
import { diskNumber } from '../devices/vdev.ts';
import { LibxlError, libxlLine, noSuchDomainType } from './libxl-error.ts';
import type { ManagedDomain } from './managed-domain.ts';

export interface DomainDevicesGlue extends DeviceGlue {
  readonly domain: (domid: number) => ManagedDomain | undefined;
  /** Without it there are no disks. */
  readonly images: DiskImages | undefined;
}

export class DomainDevices {
  readonly #glue: DomainDevicesGlue;

  constructor(glue: DomainDevicesGlue) {
    this.#glue = glue;
  }

  /** Resolves when the disk can be used. It is part of the domain's configuration from then on. */
  async attachDisk(domid: number, disk: JsonObject): Promise<void> {
    const domain = this.#glue.domain(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    await addDisk(this.#glue, domid, disk);
    const { devices } = domain.config;
    devices.disks = [...(devices.disks ?? []), disk];
  }

  /** Resolves when nobody uses the disk any more. `force` does not wait for the guest. */
  async detachDisk(domid: number, vdev: string, force: boolean): Promise<void> {
    const device = diskOf(this.#glue, domid, vdev);
    await removeDisk(this.#glue, device, force ? 'yes' : 'no');
    const devices = this.#glue.domain(domid)?.config.devices;
    if (devices?.disks === undefined) return;
    const before = devices.disks;
    devices.disks = before.filter((disk) => diskNumber(String(disk['vdev'])) !== device.devid);
    await removeOverlays(this.#glue.images, before, devices.disks);
  }

  /** Resolves when the interface is connected. It is part of the domain's configuration from then on. */
  async attachNic(domid: number, nic: JsonObject): Promise<void> {
    const domain = this.#glue.domain(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    const { devices } = domain.config;
    const added = await addNic(this.#glue, domid, nic);
    devices.nics = [...(devices.nics ?? []), added];
  }

  /** Resolves when nobody uses the interface any more. `which`: its number or MAC address. */
  async detachNic(domid: number, which: string): Promise<void> {
    const device = nicOf(this.#glue, domid, which);
    await removeDevice(this.#glue, device, 'no');
    const devices = this.#glue.domain(domid)?.config.devices;
    if (devices?.nics === undefined) return;
    devices.nics = devices.nics.filter(({ devid }) => devid !== device.devid);
  }

  /** What the interface may reach, from now on and after a reboot. `rules`: as `parseEgress` reads them. */
  setEgress(domid: number, devid: number, rules: string): void {
    const domain = this.#glue.domain(domid);
    if (domain === undefined) throw noSuchDomainType(domid);
    setNicEgress(this.#glue, domid, devid, rules);
    const { devices } = domain.config;
    devices.nics = (devices.nics ?? []).map((nic) => (nic['devid'] === devid ? { ...nic, egress: rules } : nic));
  }

  channels(domid: number): readonly ChannelSummary[] {
    return listChannels(this.#glue, domid);
  }

  nics(domid: number): readonly NicSummary[] {
    return listNics(this.#glue, domid);
  }

  /** libxl_cdrom_insert. The medium of a PV guest's drive cannot be changed: its driver would not notice. */
  insertCdrom(domid: number): void {
    if (this.#glue.domain(domid) === undefined) throw noSuchDomainType(domid);
    throw new LibxlError('INVAL', [
      libxlLine('libxl_cdrom_insert', `Domain ${domid}:cdrom-insert requires an HVM domain`),
    ]);
  }

  disks(domid: number): readonly DiskSummary[] {
    return listDisks(this.#glue, domid);
  }

  /** Why the domain cannot be written down or moved, if that is because of its disks. */
  boundDisk({ config }: ManagedDomain, to: 'be saved' | 'move'): string | undefined {
    return boundDisk(this.#glue.images, config.devices.disks ?? [], to);
  }
}
