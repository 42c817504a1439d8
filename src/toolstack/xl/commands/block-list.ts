/** `xl block-list` */
import type { DiskSummary } from '../../devices/disks.ts';
import { readArguments, type Invocation } from '../command.ts';
import { domainOrComplaint } from '../domain-argument.ts';

const widths = [5, 3, 6, 5, 6, 8, 30];
const heads = ['Vdev', 'BE', 'handle', 'state', 'evt-ch', 'ring-ref', 'BE-path'];

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  invocation.out(row(heads));
  for (const name of given) {
    const domid = await domainOrComplaint(invocation, name);
    if (domid === undefined) continue;
    const client = await invocation.daemon();
    const { disks } = await client.call('disks', { domid });
    invocation.out(disks.map((disk) => row(cells(disk))).join(''));
  }
  return 0;
}

function cells(disk: DiskSummary): readonly (string | number)[] {
  const { devid, backendDomid, frontendId, state, eventChannel, ringRef, backend } = disk;
  return [devid, backendDomid, frontendId, state, eventChannel, ringRef, backend];
}

function row(texts: readonly (string | number)[]): string {
  return `${texts.map((text, i) => String(text).padEnd(widths[i] ?? 0)).join(' ')}\n`;
}
