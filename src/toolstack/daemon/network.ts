/** The host's networks in the daemon: made from network.cfg when it starts, and changed by `xl network-forward`. */
import { Network, type NetworkHost } from '../../dom0/net/network.ts';
import { VifDirectory } from '../../dom0/net/vif-directory.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { JsonObject } from '../config/json.ts';
import { formatGuestPort, formatHostPort, parseGuestPort, parseHostPort } from '../config/forward-spec.ts';
import { readNetworkConfig, type NetworkConfig } from '../config/network-config.ts';
import { XenError } from '../xen-error.ts';
import * as read from './parameters.ts';
import type { ForwardSummary } from './protocol.ts';

/** The network's parts of the host, and its configuration when it is not to be read from the usual file. */
export interface DaemonNetwork extends NetworkHost {
  readonly config?: NetworkConfig;
}

/** A forward that cannot be opened keeps the daemon from nothing: its port may be free again tomorrow. */
export async function startNetwork(host: DaemonNetwork, xs: Xenstore, log: (line: string) => void): Promise<Network> {
  const { bridges, forwards } = host.config ?? readNetworkConfig();
  const network = new Network(bridges, host, new VifDirectory(xs));
  for (const { bridge, ...rule } of forwards) {
    await network.forward(rule, bridge).catch((error: Error) => log(`network.cfg: ${error.message}`));
  }
  return network;
}

export function listForwards(network: Network | undefined): readonly ForwardSummary[] {
  return (network?.forwards ?? []).map((rule) => ({
    host: formatHostPort(rule),
    guest: formatGuestPort(rule),
    bridge: rule.bridge,
  }));
}

export async function addForward(network: Network | undefined, params: JsonObject): Promise<ForwardSummary> {
  const guest = read.text(params, 'guest');
  const to = parseGuestPort(guest);
  if (to === undefined) throw new XenError(`"${guest}" is not a guest's port, as web:22 or 10.0.2.15:22`);
  const bridge = params['bridge'] === undefined ? undefined : read.text(params, 'bridge');
  const rule = { ...hostPort(params), ...to };
  const made = await asked(() => required(network).forward(rule, bridge));
  return { host: formatHostPort(made), guest: formatGuestPort(made), bridge: made.bridge };
}

export async function removeForward(network: Network | undefined, params: JsonObject): Promise<void> {
  const { protocol, host } = hostPort(params);
  await asked(() => required(network).removeForward(protocol, host));
}

function hostPort(params: JsonObject): NonNullable<ReturnType<typeof parseHostPort>> {
  const text = read.text(params, 'host');
  const at = parseHostPort(text);
  if (at === undefined) throw new XenError(`"${text}" is not a port of the host, as 2222, udp:53 or tcp:0.0.0.0:80`);
  return at;
}

function required(network: Network | undefined): Network {
  if (network === undefined) throw new XenError('this host has no network');
  return network;
}

/** What a person asked for and cannot be is told in one sentence. */
async function asked<T>(task: () => T | Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof Error && error.name === 'NetworkError') throw new XenError(error.message, { cause: error });
    throw error;
  }
}
