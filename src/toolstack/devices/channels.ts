/**
 * A domain's consoles beside the first, which xl.cfg calls channels: low-bandwidth byte streams for agents in the guest, each with a name that the
 * guest's driver can be found by (xen/docs/misc/channel.txt, libxl_console.c).
 */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { consoleLimit } from '../domain/xenstore-tree.ts';
import {
  backendReady,
  frontendPath,
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
  return typeof path === 'string' ? { ...named, connection: 'socket', path } : { ...named, connection: 'pty' };
}

function frontNodes(): Nodes {
  return { 'backend-id': 0, state: XenbusState.Initialising, protocol: 'vt100' };
}

function backNodes({ domid }: SplitDevice, both: Nodes): Nodes {
  return { 'frontend-id': domid, online: 1, state: XenbusState.Initialising, protocol: 'vt100', ...both };
}
