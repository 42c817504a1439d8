/** `xl destroy` */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { has, arguments: given } = await readArguments(invocation, { short: 'f' }, 1);
  const domid = await findDomain(invocation, given[0] ?? '');
  if (domid === 0 && !has('f')) {
    invocation.err('Not destroying domain 0; use -f to force.');
    invocation.err('This can only be done when using a disaggregated hardware domain and toolstack.\n');
    return 1;
  }
  const client = await invocation.daemon();
  const failure = await attempt(invocation, () => client.call('destroy', { domid }));
  if (failure === undefined) return 0;
  invocation.err(`destroy failed (rc=${failure})`);
  return 1;
}
