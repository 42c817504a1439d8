/** Which bridge a vif is connected to: what Xen's hotplug script vif-bridge does (tools/hotplug/Linux/vif-bridge), in its words. */
import type { VifAddress } from './back/index.ts';
import type { Bridge } from './link.ts';

/** For a vif that names none. */
const defaultBridge = 'xenbr0';
const script = 'vif-bridge';
/** Xen's other scripts (tools/hotplug/Linux), and what does here what they do. */
const instead = new Map([
  ['vif-nat', ', and a bridge with NAT is xenbr0'],
  ['vif-route', ', which needs no gatewaydev: a bridge with NAT is xenbr0'],
]);

/** The bridges of a host by name. */
export interface Bridges {
  bridge(name: string): Bridge | undefined;
}

/** Throws Error with what the script would say, or that there is no such script. */
export function vifBridge(bridges: Bridges | undefined, { read }: Pick<VifAddress, 'read'>): Bridge {
  const wanted = (read('script') ?? script).replace(/^.*\//, '');
  if (wanted !== script)
    throw new Error(`there is no script ${wanted}; interfaces are connected by ${script}${instead.get(wanted) ?? ''}`);
  const name = read('bridge') ?? defaultBridge;
  const bridge = bridges?.bridge(name);
  if (bridge === undefined) throw new Error(`Could not find bridge device ${name}`);
  return bridge;
}
