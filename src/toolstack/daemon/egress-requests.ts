/** What domains' interfaces may reach, as `xl network-egress` asks for it. */
import { formatRule } from '../../dom0/net/egress/egress-rules.ts';
import type { JsonObject } from '../config/json.ts';
import * as egress from '../devices/nic-egress.ts';
import * as read from './parameters.ts';
import type { EgressInterface } from './protocol.ts';

export function listEgress(
  context: egress.EgressContext,
  params: JsonObject,
): { interfaces: readonly EgressInterface[] } {
  const interfaces = egress.egressOf(context, read.domid(params), which(params));
  return {
    interfaces: interfaces.map(({ name, rules, passed, refused }) => ({
      name,
      restricted: rules.default === 'deny',
      passed: passed.map(({ rule, count }) => ({ rule: formatRule(rule), count })),
      refused: { ...refused },
    })),
  };
}

export function setEgress(context: egress.EgressContext, params: JsonObject): Promise<void> {
  return egress.setEgress(context, read.domid(params), read.text(params, 'rules'), which(params));
}

function which(params: JsonObject): string | undefined {
  return params['which'] === undefined ? undefined : read.text(params, 'which');
}
