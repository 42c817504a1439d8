/** `xl network-egress`, which Xen's xl does not have: what a guest may reach. */
import type { EgressInterface } from '../../daemon/protocol.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';

const rules = { short: 'cd:', long: { clear: 'c', devid: 'd:' } };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, rules, 1);
  const [name = '', ...words] = given;
  if (has('c') && words.length > 0) {
    err("'xl network-egress -c' takes no rules.\n");
    await printHelp({ out }, invocation.name);
    return 2;
  }
  const domid = await findDomain(invocation, name);
  const client = await invocation.daemon();
  const which = valueOf('d');
  const params = { domid, ...(which === undefined ? {} : { which }) };
  const request = async (): Promise<void> => {
    if (has('c') || words.length > 0) {
      await client.call('setEgress', { ...params, rules: has('c') ? 'all' : words.join(' ') });
      return;
    }
    const { interfaces } = await client.call('egress', params);
    for (const one of interfaces) out(described(one));
  };
  return (await attempt(invocation, request)) === undefined ? 0 : 1;
}

function described({ name, restricted, passed, refused }: EgressInterface): string {
  if (!restricted) return `${name}: everything is allowed\n`;
  const width = Math.max(0, ...passed.map(({ rule }) => rule.length));
  const lines = passed.map(({ rule, count }) => `  ${rule.padEnd(width)}  ${count}\n`);
  const { tcp, udp, names, frames } = refused;
  const all = `  refused: ${tcp} connections, ${udp} datagrams, ${names} names, ${frames} frames to or from other guests\n`;
  return `${name}: ${passed.length === 0 ? 'nothing is allowed' : 'only this is allowed'}\n${lines.join('')}${all}`;
}
