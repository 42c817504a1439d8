/** `xl domid` */
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const name = given[0] ?? '';
  const client = await invocation.daemon();
  const { domid } = await client.call('domid', { name });
  if (domid === null) {
    invocation.err(`Can't get domid of domain name '${name}', maybe this domain does not exist.`);
    return 1;
  }
  invocation.out(`${domid}\n`);
  return 0;
}
