/** What domains' interfaces may reach, as `xl network-egress` asks for it. */
import { EgressError, formatEgress, formatRule, parseEgress } from '../../dom0/net/egress/egress-rules.ts';
import type { Network } from '../../dom0/net/network.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { JsonObject } from '../config/json.ts';
import { nicOf } from '../devices/nics.ts';
import { backendPath, type SplitDevice } from '../devices/split-device.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import { noSuchDomainType } from '../domain/libxl-error.ts';
import { XenError } from '../xen-error.ts';
import * as read from './parameters.ts';
import type { EgressInterface } from './protocol.ts';

export interface EgressContext {
  readonly manager: DomainManager;
  readonly network: Network | undefined;
  readonly xenstore: Xenstore;
}

export function listEgress(context: EgressContext, params: JsonObject): { interfaces: readonly EgressInterface[] } {
  return { interfaces: wanted(context, params).map((device) => summary(context, device)) };
}

export function setEgress(context: EgressContext, params: JsonObject): void {
  let rules: string;
  try {
    rules = formatEgress(parseEgress(read.text(params, 'rules')));
  } catch (error) {
    if (error instanceof EgressError) throw new XenError(error.message, { cause: error });
    throw error;
  }
  const devices = wanted(context, params);
  if (devices.length === 0) throw new XenError('the domain has no interfaces');
  for (const device of devices) summary(context, device);
  for (const { domid, devid } of devices) context.manager.setEgress(domid, devid, rules);
}

function wanted({ manager, xenstore }: EgressContext, params: JsonObject): SplitDevice[] {
  const domid = read.domid(params);
  if (manager.domain(domid) === undefined) throw noSuchDomainType(domid);
  if (params['which'] !== undefined) return [nicOf({ xs: xenstore }, domid, read.text(params, 'which'))];
  return manager.nics(domid).map(({ devid }) => ({ domid, devid, kind: 'vif', backendKind: 'vif' }));
}

function summary({ network, xenstore }: EgressContext, device: SplitDevice): EgressInterface {
  const { domid, devid } = device;
  const name = xenstore.read(`${backendPath(device)}/vifname`) ?? `vif${domid}.${devid}`;
  const egress = network?.egressOf(name);
  if (egress === undefined) throw new XenError(`${name} is on no bridge that keeps rules`);
  const { rules, passed, refused } = egress;
  return {
    name,
    restricted: rules.default === 'deny',
    passed: passed.map(({ rule, count }) => ({ rule: formatRule(rule), count })),
    refused: { ...refused },
  };
}
