/**
 * `xl pause` and `xl unpause`: a failure is told and the exit code is 0 all the same, as in xl. Departs from xl for a domain that does not
 * exist: that is 1, as with every other command, so that a script with a wrong number stops.
 */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const domid = await findDomain(invocation, given[0] ?? '');
  const client = await invocation.daemon();
  const method = invocation.name === 'pause' ? 'pause' : 'unpause';
  const failure = await attempt(invocation, () => client.call(method, { domid }));
  if (failure === undefined) return 0;
  const { domains } = await client.call('list', { domid });
  return domains.length === 0 ? 1 : 0;
}
