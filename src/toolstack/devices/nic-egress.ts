/** What domains' interfaces may reach while they run, for whoever asks: `xl network-egress`, or a program. */
import { EgressError, formatEgress, parseEgress, type EgressRules } from '../../dom0/net/egress/egress-rules.ts';
import type { EgressSummary } from '../../dom0/net/egress/egress.ts';
import type { Network } from '../../dom0/net/network.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import { noSuchDomainType } from '../domain/libxl-error.ts';
import { XenError } from '../xen-error.ts';
import { nicOf } from './nics.ts';
import { backendPath, type SplitDevice } from './split-device.ts';

export interface EgressContext {
  readonly manager: DomainManager;
  readonly network: Network | undefined;
  readonly xenstore: Xenstore;
}

export interface InterfaceEgress extends EgressSummary {
  /** `vif3.0`, or its `vifname`. */
  readonly name: string;
  readonly devid: number;
}

/** Of the interface with this number or address, or of all. Throws XenError. */
export function egressOf(context: EgressContext, domid: number, which?: string): InterfaceEgress[] {
  return wanted(context, domid, which).map((device) => summary(context, device));
}

/** Backends hear of what is written to xenstore when the event loop comes round. */
const TURNS = 1000;

/** From now on, and after a reboot; resolves when it acts. Throws XenError. */
export async function setEgress(
  context: EgressContext,
  domid: number,
  rules: EgressRules | string,
  which?: string,
): Promise<void> {
  let text: string;
  try {
    // What cannot be written as text cannot be kept; what cannot be read again cannot be.
    text = formatEgress(parseEgress(typeof rules === 'string' ? rules : formatEgress(rules)));
  } catch (error) {
    if (error instanceof EgressError) throw new XenError(error.message, { cause: error });
    throw error;
  }
  const devices = wanted(context, domid, which);
  if (devices.length === 0) throw new XenError('the domain has no interfaces');
  for (const device of devices) summary(context, device);
  for (const { devid } of devices) context.manager.devices.setEgress(domid, devid, text);
  const acts = (device: SplitDevice): boolean => formatEgress(summary(context, device).rules) === text;
  for (let turn = 0; !devices.every(acts); turn++) {
    if (turn === TURNS) throw new XenError('the backend has not taken its rules');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function wanted({ manager, xenstore }: EgressContext, domid: number, which: string | undefined): SplitDevice[] {
  if (manager.domain(domid) === undefined) throw noSuchDomainType(domid);
  if (which !== undefined) return [nicOf({ xs: xenstore }, domid, which)];
  return manager.devices.nics(domid).map(({ devid }) => ({ domid, devid, kind: 'vif', backendKind: 'vif' }));
}

function summary({ network, xenstore }: EgressContext, device: SplitDevice): InterfaceEgress {
  const { domid, devid } = device;
  const name = xenstore.read(`${backendPath(device)}/vifname`) ?? `vif${domid}.${devid}`;
  const egress = network?.egressOf(name);
  if (egress === undefined) throw new XenError(`${name} is on no bridge that keeps rules`);
  return { name, devid, ...egress };
}
