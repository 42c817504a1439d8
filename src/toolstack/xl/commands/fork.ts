/** `xl fork`, which Xen's xl does not have: clones of a domain, which goes on. */
import { formatJson, type JsonValue } from '../../config/json.ts';
import type { CloneSummary } from '../../daemon/migration-protocol.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';

const rules = { short: 'pn:j', long: { count: 'n:', name: 'N:', json: 'j' } };
const MOST = 1000;

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, rules, 1);
  const text = valueOf('n') ?? '1';
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MOST || given.length > 1) {
    err(given.length > 1 ? 'One domain is forked at a time.\n' : `-n takes a whole number from 1 to ${MOST}.\n`);
    await printHelp({ out }, invocation.name);
    return 2;
  }
  const domid = await findDomain(invocation, given[0] ?? '');
  const name = valueOf('N');
  const client = await invocation.daemon();
  let clones: readonly CloneSummary[] | undefined;
  await attempt(invocation, async () => {
    ({ clones } = await client.call('fork', {
      domid,
      count,
      paused: has('p'),
      ...(name === undefined ? {} : { name }),
    }));
  });
  if (clones === undefined) return 1;
  if (has('j')) out(`${formatJson(clones as unknown as JsonValue)}\n`);
  else for (const clone of clones) out(`${clone.name} (domain ${clone.domid})\n`);
  return 0;
}
