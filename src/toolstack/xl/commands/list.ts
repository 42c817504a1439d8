/** `xl list` */
import { findDomain, printHelp, readArguments, type Invocation } from '../command.ts';
import { domainTable } from '../domain-table.ts';

const long = { long: 'l', verbose: 'v', context: 'Z', cpupool: 'c', numa: 'n' };

export async function run(invocation: Invocation): Promise<number> {
  const { has, arguments: given } = await readArguments(invocation, { short: 'lvZcn', long }, 0);
  const [name, extra] = given;
  if (extra !== undefined) {
    await printHelp(invocation, 'list');
    return 1;
  }
  const domid = name === undefined ? undefined : await findDomain(invocation, name);
  const client = await invocation.daemon();
  const which = domid === undefined ? {} : { domid };
  const { domains } = await client.call('list', which);
  if (name !== undefined && domains.length === 0) {
    invocation.err(`Error: Domain '${name}' does not exist.`);
    return 1;
  }
  if (has('l')) {
    const { configs } = await client.call('configs', which);
    const { formatJson } = await import('../../config/json.ts');
    invocation.out(`${formatJson(configs)}\n\n`);
  } else {
    const columns = { verbose: has('v'), context: has('Z'), cpupool: has('c'), numa: has('n') };
    invocation.out(domainTable(domains, columns));
  }
  return 0;
}
