/** The network interfaces of domains: added with a domain or to one that runs, taken away, listed (xen/tools/libs/light/libxl_nic.c). */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { JsonObject } from '../config/json.ts';
import { inOrder } from '../config/nic-spec.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { nicWithDefaults, type NicDevice } from './nic-config.ts';
import {
  backendPath,
  backendReady,
  deviceExists,
  frontendPath,
  libxlDevicePath,
  writeDevice,
  type DeviceGlue,
  type Nodes,
  type SplitDevice,
} from './split-device.ts';

const kind = 'vif';
/** LIBXL_DEVICE_NIC_MTU_DEFAULT, which is also a bridge's. */
const defaultMtu = 1500;

/** A line of `xl network-list`; -1 for what a frontend has not written. */
export interface NicSummary {
  readonly devid: number;
  readonly backendDomid: number;
  readonly mac: string;
  readonly state: number;
  readonly eventChannel: number;
  readonly txRingRef: number;
  readonly rxRingRef: number;
  readonly backend: string;
}

/**
 * Before a domain is built, for all of its interfaces: their configurations with numbers and addresses, which the domain keeps
 * when it is made again. Throws LibxlError with libxl's lines.
 */
export function checkNics(domid: number, nics: readonly JsonObject[]): JsonObject[] {
  let last = Math.max(-1, ...nics.map(({ devid }) => (typeof devid === 'number' ? devid : -1)));
  return nics.map((given, index) => {
    try {
      const { nic, config } = nicWithDefaults(given);
      return inOrder({ ...config, devid: nic.devid ?? ++last });
    } catch (error) {
      if (!(error instanceof LibxlError)) throw error;
      const where = libxlLine(
        'libxl__device_nic_set_devids',
        `Domain ${domid}:Unable to set nic defaults for nic ${index}`,
      );
      throw new LibxlError('FAIL', [...error.lines, where], error.message, error);
    }
  });
}

/** Adds an interface and waits until it is connected to its bridge. What the domain's configuration has of it from now on. */
export async function addNic(glue: DeviceGlue, domid: number, given: JsonObject): Promise<JsonObject> {
  const { nic, config } = nicWithDefaults(given);
  const devid = nic.devid ?? nextId(glue, domid);
  const device: SplitDevice = { domid, devid, kind, backendKind: kind };
  if (deviceExists(glue.xs, device)) {
    throw new LibxlError('DEVICE_EXISTS', [
      libxlLine('libxl__device_add_async', `Domain ${domid}:device already exists in xenstore`),
      libxlLine('device_add_nothing', 'unable to add device'),
    ]);
  }
  writeDevice(glue.xs, device, frontNodes(nic, device), backNodes(nic, device));
  // The guest may read it, and not change it: netfront takes it for the bridge's.
  const mtu = `${frontendPath(device)}/mtu`;
  glue.xs.transaction((t) => {
    t.write(mtu, nic.mtu ?? defaultMtu);
    t.setPerms(mtu, `n0,r${domid}`);
  });
  await backendReady(glue, device);
  return inOrder({ ...config, devid });
}

/** Adds the interfaces of a new domain, one after the other. */
export async function addNics(glue: DeviceGlue, domid: number, nics: readonly JsonObject[]): Promise<void> {
  try {
    for (const nic of nics) await addNic(glue, domid, nic);
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error;
    const lines = error.lines.filter((line) => !line.endsWith(': unable to add device'));
    const where = libxlLine('domcreate_attach_devices', `Domain ${domid}:unable to add vif devices`);
    throw new LibxlError('FAIL', [...lines, where], error.message, error);
  }
}

/** The interface with this number or MAC address (libxl_devid_to_device_nic, libxl_mac_to_device_nic). Throws LibxlError when there is none. */
export function nicOf({ xs }: Pick<DeviceGlue, 'xs'>, domid: number, which: string): SplitDevice {
  if (which.includes(':')) {
    const found = listNics({ xs }, domid).find(({ mac }) => mac === which.toLowerCase());
    if (found === undefined)
      throw new LibxlError('INVAL', [], `domain ${domid} has no interface with the address ${which}`);
    return { domid, devid: found.devid, kind, backendKind: kind };
  }
  const devid = Number(/^\s*(\d{1,10})/.exec(which)?.[1] ?? 0);
  const path = libxlDevicePath({ domid, kind, devid });
  if (!xs.exists(path)) {
    const what = `xenstore read failed: \`${path}': No such file or directory`;
    throw new LibxlError('FAIL', [libxlLine('libxl__xs_read_mandatory', what)]);
  }
  return { domid, devid, kind, backendKind: kind };
}

/** libxl_device_nic_list and libxl_device_nic_getinfo */
export function listNics({ xs }: Pick<DeviceGlue, 'xs'>, domid: number): NicSummary[] {
  const devids = (xs.ls(`/libxl/${domid}/device/${kind}`) ?? []).map(Number).sort((a, b) => a - b);
  return devids.flatMap((devid) => {
    const kept = libxlDevicePath({ domid, kind, devid });
    const backend = xs.read(`${kept}/backend`);
    if (backend === undefined) return [];
    const front = frontendPath({ domid, kind, devid, backendKind: kind });
    const number = (key: string): number => {
      // The guest's own words: strtoul(3), and not more than is printed.
      const text = xs.read(`${front}/${key}`);
      return text === undefined ? -1 : Number(/^\s*(\d{1,10})/.exec(text)?.[1] ?? 0) | 0;
    };
    const [state, eventChannel] = [number('state'), number('event-channel')];
    const [txRingRef, rxRingRef] = [number('tx-ring-ref'), number('rx-ring-ref')];
    const mac = xs.read(`${kept}/mac`) ?? '';
    return [{ devid, backendDomid: 0, mac, state, eventChannel, txRingRef, rxRingRef, backend }];
  });
}

/** Not of libxl: what the interface may reach from now on, as `parseEgress` reads it. */
export function setNicEgress({ xs }: Pick<DeviceGlue, 'xs'>, domid: number, devid: number, rules: string): void {
  const device: SplitDevice = { domid, devid, kind, backendKind: kind };
  xs.transaction((t) => {
    for (const path of [backendPath(device), libxlDevicePath(device)]) t.write(`${path}/egress`, rules);
  });
}

/** libxl__device_nextid */
function nextId({ xs }: Pick<DeviceGlue, 'xs'>, domid: number): number {
  return Math.max(-1, ...(xs.ls(`/libxl/${domid}/device/${kind}`) ?? []).map(Number)) + 1;
}

/** libxl__set_xenstore_nic */
function backNodes(nic: NicDevice, { domid, devid }: SplitDevice): Nodes {
  const { script, ifname, mac, ip, gatewaydev, rate, bridge, mtu, egress } = nic;
  return {
    'frontend-id': domid,
    online: 1,
    state: XenbusState.Initialising,
    script,
    ...(ifname === undefined ? {} : { vifname: ifname }),
    mac,
    ...(ip === undefined ? {} : { ip }),
    ...(gatewaydev === undefined ? {} : { gatewaydev }),
    ...(rate === undefined ? {} : { rate: rate.join(',') }),
    bridge,
    handle: devid,
    type: 'vif',
    ...(mtu === undefined ? {} : { mtu }),
    ...(egress === undefined ? {} : { egress }),
    'hotplug-status': '',
  };
}

function frontNodes({ mac, trusted }: NicDevice, { devid }: SplitDevice): Nodes {
  return { 'backend-id': 0, state: XenbusState.Initialising, handle: devid, mac, trusted: trusted ? 1 : 0 };
}
