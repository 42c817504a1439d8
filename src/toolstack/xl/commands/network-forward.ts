/** `xl network-forward`, which Xen's xl does not have: ports of the host that lead to guests behind NAT. */
import { attempt, printHelp, readArguments, type Invocation } from '../command.ts';

const rules = { short: 'lrb:', long: { list: 'l', remove: 'r', bridge: 'b:' } };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, rules, 0);
  const [host, guest] = given;
  if (has('l') || (given.length === 0 && !has('r'))) {
    const client = await invocation.daemon();
    const { forwards } = await client.call('forwards', {});
    out(table([['Host', 'Guest', 'Bridge'], ...forwards.map((row) => [row.host, row.guest, row.bridge])]));
    return 0;
  }
  const wanted = has('r') ? 1 : 2;
  if (host === undefined || given.length !== wanted) {
    err(`'xl network-forward${has('r') ? ' -r' : ''}' takes ${wanted} argument${wanted === 1 ? '' : 's'}.\n`);
    await printHelp({ out }, invocation.name);
    return 2;
  }
  const client = await invocation.daemon();
  const bridge = valueOf('b');
  const request = async (): Promise<void> => {
    if (has('r')) {
      await client.call('removeForward', { host });
      return;
    }
    const params = { host, guest: guest ?? '', ...(bridge === undefined ? {} : { bridge }) };
    const made = await client.call('addForward', params);
    out(`${made.host} is forwarded to ${made.guest}\n`);
  };
  return (await attempt(invocation, request)) === undefined ? 0 : 1;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
