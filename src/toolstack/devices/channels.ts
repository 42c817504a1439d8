/**
 * A domain's consoles beside the first, which xl.cfg calls channels: low-bandwidth byte streams for agents in the guest, each with a name that the
 * guest's driver can be found by (xen/docs/misc/channel.txt, libxl_console.c).
 */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { consoleLimit } from '../domain/xenstore-tree.ts';
import {
  backendReady,
  frontendPath,
  libxlDevicePath,
  writeDevice,
  type DeviceGlue,
  type Nodes,
  type SplitDevice,
} from './split-device.ts';

const kind = 'console';

/** Adds the channels of a new domain; they are numbered from 1, since 0 is the first console. */
export async function addChannels(glue: DeviceGlue, domid: number, channels: readonly JsonObject[]): Promise<void> {
  for (const [index, channel] of channels.entries()) {
    const device: SplitDevice = { domid, devid: index + 1, kind, backendKind: kind };
    const both = bothNodes(channel);
    writeDevice(glue.xs, device, frontNodes(), backNodes(device, both));
    // What the guest may read and not change.
    glue.xs.transaction((t) => {
      const readOnly = {
        ...both,
        limit: consoleLimit,
        type: 'ioemu',
        output: `chardev:libxl-channel${index + 1}`,
        tty: '',
      };
      for (const [key, value] of Object.entries(readOnly)) {
        t.write(`${frontendPath(device)}/${key}`, value);
        t.setPerms(`${frontendPath(device)}/${key}`, `n0,r${domid}`);
      }
    });
    try {
      await backendReady(glue, device);
    } catch (error) {
      if (!(error instanceof LibxlError)) throw error;
      const where = libxlLine('domcreate_attach_devices', `Domain ${domid}:unable to add console devices`);
      throw new LibxlError('FAIL', [...error.lines, where], error.message, error);
    }
  }
}

function bothNodes(channel: JsonObject): Nodes {
  const { name } = channel;
  const socket = channel['connection.socket'];
  const path =
    typeof socket === 'object' && socket !== null && !Array.isArray(socket)
      ? (socket as JsonObject)['path']
      : undefined;
  const named: Nodes = typeof name === 'string' ? { name } : {};
  if (typeof path === 'string') return { ...named, connection: 'socket', path };
  return { ...named, connection: channel['connection.internal'] === undefined ? 'pty' : 'internal' };
}

function frontNodes(): Nodes {
  return { 'backend-id': 0, state: XenbusState.Initialising, protocol: 'vt100' };
}

function backNodes({ domid }: SplitDevice, both: Nodes): Nodes {
  return { 'frontend-id': domid, online: 1, state: XenbusState.Initialising, protocol: 'vt100', ...both };
}

/** The console of a domain that has this name, by its number; undefined when there is none. */
export function findChannel(xs: Pick<Xenstore, 'ls' | 'read'>, domid: number, name: string): number | undefined {
  const devids = (xs.ls(`/libxl/${domid}/device/${kind}`) ?? []).map(Number);
  return devids.find((devid) => xs.read(`${libxlDevicePath({ domid, kind, devid })}/name`) === name);
}

/** A line of `xl channel-list`; -1 for what the frontend's directory does not have. */
export interface ChannelSummary {
  readonly devid: number;
  readonly backendDomid: number;
  readonly state: number;
  readonly eventChannel: number;
  readonly ringRef: number;
  readonly connection: string;
  /** The terminal at this end, of those that have one. */
  readonly tty: string | undefined;
}

/** libxl_device_channel_list and libxl_device_channel_getinfo: consoles with a name are channels, and their numbers begin at 0 again. */
export function listChannels({ xs }: Pick<DeviceGlue, 'xs'>, domid: number): ChannelSummary[] {
  const devids = (xs.ls(`/libxl/${domid}/device/${kind}`) ?? []).map(Number).sort((a, b) => a - b);
  const named = devids.filter((devid) => xs.read(`${libxlDevicePath({ domid, kind, devid })}/name`) !== undefined);
  return named.map((devid, index) => {
    const front = frontendPath({ domid, kind, devid, backendKind: kind });
    const number = (key: string): number => {
      // The guest's own words: strtoul(3), and not more than is printed.
      const text = xs.read(`${front}/${key}`);
      return text === undefined ? -1 : Number(/^\s*(\d{1,10})/.exec(text)?.[1] ?? 0) | 0;
    };
    const connection = xs.read(`${libxlDevicePath({ domid, kind, devid })}/connection`) ?? 'unknown';
    return {
      devid: index,
      backendDomid: 0,
      state: number('state'),
      eventChannel: number('port'),
      ringRef: number('ring-ref'),
      connection,
      tty: connection === 'pty' ? (xs.read(`${front}/tty`) ?? '/NO-SUCH-PATH') : undefined,
    };
  });
}
