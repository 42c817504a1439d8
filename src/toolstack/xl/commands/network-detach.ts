/** `xl network-detach` */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', which = ''] = given;
  const domid = await findDomain(invocation, domain);
  const client = await invocation.daemon();
  if ((await attempt(invocation, () => client.call('findNic', { domid, which }))) !== undefined) {
    invocation.err(`Unknown device ${which}.`);
    return 1;
  }
  if ((await attempt(invocation, () => client.call('detachNic', { domid, which }))) === undefined) return 0;
  invocation.err('libxl_device_nic_del failed.');
  return 1;
}
