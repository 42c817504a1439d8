/** `xl claims`: memory here is handed out when it is claimed, so no claim is ever outstanding. */
import { readArguments, type Invocation } from '../command.ts';
import { domainTable } from '../domain-table.ts';

export async function run(invocation: Invocation): Promise<number> {
  await readArguments(invocation, { short: '' }, 0);
  const client = await invocation.daemon();
  const { domains } = await client.call('list', {});
  invocation.out(domainTable(domains, { claim: true }));
  return 0;
}
