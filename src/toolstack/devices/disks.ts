/** The disks of domains: added with a domain or to one that runs, taken away, listed (xen/tools/libs/light/libxl_disk.c). */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { withDefaults, type DiskDevice } from './disk-config.ts';
import {
  backendReady,
  deviceExists,
  libxlDevicePath,
  frontendPath,
  removeDevice,
  writeDevice,
  type DeviceGlue,
  type Nodes,
  type SplitDevice,
} from './split-device.ts';
import { diskNumber } from './vdev.ts';

/** Where Debian has the hotplug scripts; the backend does their work. */
const scripts = '/etc/xen/scripts';
const frontendKind = 'vbd';

/** A line of `xl block-list`; -1 for what a frontend has not written. */
export interface DiskSummary {
  readonly devid: number;
  readonly backendDomid: number;
  readonly frontendId: number;
  readonly state: number;
  readonly eventChannel: number;
  readonly ringRef: number;
  readonly backend: string;
}

/** Before a domain is built, for all of its disks. Throws LibxlError with libxl's lines. */
export function checkDisks(domid: number, disks: readonly JsonObject[]): void {
  disks.forEach((disk, index) => {
    try {
      withDefaults(disk);
    } catch (error) {
      if (!(error instanceof LibxlError)) throw error;
      const where = libxlLine('domain_create_disk', `Domain ${domid}:Unable to set disk defaults for disk ${index}`);
      throw new LibxlError('FAIL', [...error.lines, where], error.message, error);
    }
  });
}

/** Adds a disk and waits until its backend has opened it. Throws LibxlError. */
export async function addDisk(glue: DeviceGlue, domid: number, config: JsonObject): Promise<void> {
  const { device, disk } = place(domid, config);
  if (deviceExists(glue.xs, device)) {
    throw new LibxlError('DEVICE_EXISTS', [
      libxlLine('device_disk_add', `Domain ${domid}:device already exists in xenstore`),
      libxlLine('device_add_nothing', 'unable to add device'),
    ]);
  }
  writeDevice(glue.xs, device, frontNodes(disk, device), backNodes(disk, device));
  await backendReady(glue, device);
}

/** Adds the disks of a new domain, one after the other. */
export async function addDisks(glue: DeviceGlue, domid: number, disks: readonly JsonObject[]): Promise<void> {
  try {
    for (const disk of disks) await addDisk(glue, domid, disk);
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error;
    const lines = error.lines.filter((line) => !line.endsWith(': unable to add device'));
    const where = libxlLine('domcreate_launch_dm', `Domain ${domid}:unable to add disk devices`);
    throw new LibxlError('FAIL', [...lines, where], error.message, error);
  }
}

/** The device that a name stands for. Throws LibxlError when the domain has none. */
export function diskOf({ xs }: Pick<DeviceGlue, 'xs'>, domid: number, vdev: string): SplitDevice {
  const devid = diskNumber(vdev);
  if (devid === undefined) throw new LibxlError('INVAL', [], `"${vdev}" names no disk`);
  const path = libxlDevicePath({ domid, kind: frontendKind, devid });
  const backendKind = /^\/local\/domain\/0\/backend\/(\w+)\//.exec(xs.read(`${path}/backend`) ?? '')?.[1];
  if (backendKind === undefined)
    throw new LibxlError('FAIL', [
      libxlLine('libxl__disk_from_xenstore', `disk ${path} does not exist (no backend path`),
    ]);
  return { domid, devid, kind: frontendKind, backendKind };
}

export async function removeDisk(glue: DeviceGlue, device: SplitDevice, force: 'no' | 'yes'): Promise<void> {
  await removeDevice(glue, device, force);
}

/** libxl_device_disk_list and libxl_device_disk_getinfo */
export function listDisks({ xs }: Pick<DeviceGlue, 'xs'>, domid: number): DiskSummary[] {
  const devids = (xs.ls(`/libxl/${domid}/device/${frontendKind}`) ?? []).map(Number).sort((a, b) => a - b);
  return devids.flatMap((devid) => {
    const backend = xs.read(`${libxlDevicePath({ domid, kind: frontendKind, devid })}/backend`);
    if (backend === undefined) return [];
    const front = frontendPath({ domid, kind: frontendKind, devid, backendKind: '' });
    const number = (key: string): number => {
      // The guest's own words: strtoul(3), and not more than is printed.
      const text = xs.read(`${front}/${key}`);
      return text === undefined ? -1 : Number(/^\s*(\d{1,10})/.exec(text)?.[1] ?? 0) | 0;
    };
    const [state, eventChannel, ringRef] = [number('state'), number('event-channel'), number('ring-ref')];
    return [{ devid, backendDomid: 0, frontendId: domid, state, eventChannel, ringRef, backend }];
  });
}

/** libxl__device_from_disk */
function place(domid: number, config: JsonObject): { device: SplitDevice; disk: DiskDevice } {
  const disk = withDefaults(config);
  const devid = diskNumber(disk.vdev);
  if (devid === undefined) {
    const what = `Domain ${domid}:Invalid or unsupported virtual disk identifier ${disk.vdev}`;
    throw new LibxlError('INVAL', [
      libxlLine('libxl__device_from_disk', what),
      libxlLine('device_disk_add_identifier', what),
      libxlLine('device_add_nothing', 'unable to add device'),
    ]);
  }
  const backendKind = disk.backend === 'phy' ? 'vbd' : 'qdisk';
  return { device: { domid, devid, kind: frontendKind, backendKind }, disk };
}

/** QEMU's names of formats, which libxl writes into `params`. */
const formatNames: Readonly<Record<string, string>> = { raw: 'aio', empty: 'aio' };

function backNodes(disk: DiskDevice, { domid }: SplitDevice): Nodes {
  const source: Nodes =
    disk.backend === 'phy'
      ? { params: disk.path, script: scriptPath(disk.script ?? 'block') }
      : { params: `${formatNames[disk.format] ?? disk.format}:${disk.path}` };
  return {
    ...source,
    'frontend-id': domid,
    online: 1,
    removable: disk.removable ? 1 : 0,
    bootable: 1,
    state: XenbusState.Initialising,
    dev: disk.vdev,
    type: disk.backend,
    mode: disk.readWrite ? 'w' : 'r',
    'device-type': disk.cdrom ? 'cdrom' : 'disk',
    specification: disk.specification,
    ...(disk.directIoSafe ? { 'direct-io-safe': 1 } : {}),
    'discard-enable': disk.discard ? 1 : 0,
  };
}

function frontNodes(disk: DiskDevice, { devid }: SplitDevice): Nodes {
  return {
    'backend-id': 0,
    state: XenbusState.Initialising,
    'virtual-device': devid,
    'device-type': disk.cdrom ? 'cdrom' : 'disk',
    trusted: disk.trusted ? 1 : 0,
    // Kernels before 2.6.26 do not write it themselves.
    protocol: 'x86_64-abi',
  };
}

function scriptPath(script: string): string {
  return script.startsWith('/') ? script : `${scripts}/${script}`;
}
