/** `xl vm-list` */
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  await readArguments(invocation, { short: '' }, 0);
  const client = await invocation.daemon();
  const { domains } = await client.call('list', {});
  const rows = domains.map(({ uuid, domid, name }) => `${uuid}  ${domid}    ${name.padEnd(30)}\n`);
  invocation.out(`UUID                                  ID    name\n${rows.join('')}`);
  return 0;
}
