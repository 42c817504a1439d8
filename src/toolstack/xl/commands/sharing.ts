/** `xl sharing`: no domain shares memory with another. */
import { findDomain, printHelp, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 0);
  const [name, extra] = given;
  if (extra !== undefined) {
    await printHelp(invocation, 'sharing');
    return 1;
  }
  const domid = name === undefined ? undefined : await findDomain(invocation, name);
  const client = await invocation.daemon();
  const { domains } = await client.call('list', domid === undefined ? {} : { domid });
  if (name !== undefined && domains.length === 0) {
    invocation.err(`Error: Domain '${name}' does not exist.`);
    return 1;
  }
  const rows = domains.map(({ name: domain, domid: id, memKiB }) => {
    const memory = String(Math.floor(memKiB / 1024)).padStart(5);
    return `${domain.padEnd(40)} ${String(id).padStart(5)} ${memory}  ${'0'.padStart(5)}\n`;
  });
  invocation.out(`Name                                        ID   Mem Shared\n${rows.join('')}`);
  return 0;
}
