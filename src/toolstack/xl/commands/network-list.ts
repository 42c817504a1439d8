/** `xl network-list` */
import type { NicSummary } from '../../devices/nics.ts';
import { readArguments, type Invocation } from '../command.ts';
import { domainOrComplaint } from '../domain-argument.ts';

const head = `Idx BE ${'Mac Addr.'.padEnd(17)} handle state evt-ch ${'tx-'.padStart(5)}/rx-ring-ref ${'BE-path'.padEnd(30)}\n`;

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  invocation.out(head);
  for (const name of given) {
    const domid = await domainOrComplaint(invocation, name);
    if (domid === undefined) continue;
    const client = await invocation.daemon();
    const { nics } = await client.call('nics', { domid });
    invocation.out(nics.map(row).join(''));
  }
  return 0;
}

function row({ devid, backendDomid, mac, state, eventChannel, txRingRef, rxRingRef, backend }: NicSummary): string {
  const right = (value: number, width: number): string => String(value).padStart(width);
  const left = (value: number | string, width: number): string => String(value).padEnd(width);
  const rings = `${right(txRingRef, 5)}/${left(rxRingRef, 11)}`;
  return `${left(devid, 3)} ${left(backendDomid, 2)} ${mac}${right(devid, 6)} ${right(state, 5)} ${right(eventChannel, 6)} ${rings} ${left(backend, 30)}\n`;
}
