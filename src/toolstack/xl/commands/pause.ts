/** `xl pause` and `xl unpause`: a failure is told and the exit code is 0 all the same, as in xl. */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const domid = await findDomain(invocation, given[0] ?? '');
  const client = await invocation.daemon();
  const method = invocation.name === 'pause' ? 'pause' : 'unpause';
  await attempt(invocation, () => client.call(method, { domid }));
  return 0;
}
