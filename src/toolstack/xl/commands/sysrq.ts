/** `xl sysrq` */
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', letter = ''] = given;
  const domid = await findDomain(invocation, domain);
  if (letter.length !== 1) {
    invocation.err('Invalid sysrq.\n');
    await printHelp(invocation, 'sysrq');
    return 1;
  }
  const client = await invocation.daemon();
  await attempt(invocation, () => client.call('sysrq', { domid, letter }));
  return 0;
}
