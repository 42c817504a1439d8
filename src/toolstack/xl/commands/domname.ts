/** `xl domname` */
import { strtol } from '../../config/numbers.ts';
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const read = strtol(given[0] ?? '', 10);
  if (read.end === 0) {
    invocation.err('Invalid domain id.\n');
    return 1;
  }
  const domid = read.value >>> 0;
  const client = await invocation.daemon();
  const { name } = await client.call('domname', { domid });
  if (name === null) {
    invocation.err(`Can't get domain name of domain id '${domid}', maybe this domain does not exist.`);
    return 1;
  }
  invocation.out(`${name}\n`);
  return 0;
}
