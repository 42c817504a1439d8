/** `xl channel-list`: a domain's consoles beside the first. */
import type { ChannelSummary } from '../../devices/channels.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

const head = `Idx BE state evt-ch ${'ring-ref'.padStart(8)} connection ${''.padEnd(30)}\n`;

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  invocation.out(head);
  for (const name of given) {
    const domid = await findDomain(invocation, name);
    const client = await invocation.daemon();
    const { channels } = await client.call('channels', { domid });
    invocation.out(channels.map(row).join(''));
  }
  return 0;
}

function row({ devid, backendDomid, state, eventChannel, ringRef, connection, tty }: ChannelSummary): string {
  const cells: readonly (readonly [value: number | string, width: number])[] = [
    [devid, 3],
    [backendDomid, 2],
    [state, 5],
    [eventChannel, 6],
    [ringRef, 8],
    [connection, 10],
    ...(tty === undefined ? [] : ([[tty, 30]] as const)),
  ];
  return `${cells.map(([value, width]) => `${String(value).padEnd(width)} `).join('')}\n`;
}
