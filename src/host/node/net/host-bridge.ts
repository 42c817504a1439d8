/**
 * A bridge of the host itself: each vif gets a tap device of its name, in the bridge. It is set up as Xen's script vif-bridge sets up a vif (tools/hotplug/Linux:
 * vif-bridge and xen-network-common.sh, `add_to_bridge`), by ip(8).
 */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, readFileSync } from 'node:fs';
import type { Bridge, BridgePort } from '../../../dom0/net/link.ts';
import { connectTap, makeTap } from './tap.ts';

/** So that the bridge does not take the interface's address for its own: it takes the lowest. */
const lastAddress = 'fe:ff:ff:ff:ff:ff';
const IP_TIMEOUT_MS = 5000;

/** Undefined: the host has no bridge of this name. */
export function hostBridge(name: string, onError: (error: Error) => void): Bridge | undefined {
  const about = `/sys/class/net/${name}`;
  if (!existsSync(`${about}/bridge`)) return undefined;
  return {
    plug(end, port) {
      let fd: number | undefined;
      let its: string;
      try {
        [fd, its] = makeNamed(port);
        const mtu = readFileSync(`${about}/mtu`, 'latin1').trim();
        ip(['link', 'set', 'dev', its, 'address', lastAddress, 'mtu', mtu, 'master', name, 'up']);
      } catch (error) {
        if (fd !== undefined) closeSync(fd);
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`${port.name} cannot be put into the host's bridge ${name}: ${why}`, { cause: error });
      }
      connectTap(fd, end, onError);
      return its === port.name ? undefined : its;
    },
  };
}

/** Interfaces of other daemons of this host, or of a Xen there, whose domains have the same numbers. */
const MOST_NAMESAKES = 99;

function makeNamed({ name, mayBeRenamed = false }: BridgePort): [fd: number, name: string] {
  for (let number = 1; ; number++) {
    const wanted = number === 1 ? name : `${name}-${number}`;
    try {
      return [makeTap(wanted), wanted];
    } catch (error) {
      // Whatever the system says: it has no word of its own for a name that is taken.
      if (!mayBeRenamed || number === MOST_NAMESAKES || !existsSync(`/sys/class/net/${wanted}`)) throw error;
    }
  }
}

function ip(args: readonly string[]): void {
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: IP_TIMEOUT_MS, encoding: 'utf8' });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { readonly stderr?: string };
    throw new Error(code === 'ENOENT' ? 'there is no program "ip"' : (stderr?.trim() ?? String(error)), {
      cause: error,
    });
  }
}
