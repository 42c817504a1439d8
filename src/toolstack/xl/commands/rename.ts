/** `xl rename` */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', name = ''] = given;
  const domid = await findDomain(invocation, domain);
  const client = await invocation.daemon();
  if ((await attempt(invocation, () => client.call('rename', { domid, name }))) === undefined) return 0;
  invocation.err(`Can't rename domain '${domain}'.`);
  return 1;
}
