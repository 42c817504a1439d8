/** `xl uptime`; domain 0 is as old as the daemon. */
import type { DomainSummary } from '../../daemon/protocol.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { has, arguments: given } = await readArguments(invocation, { short: 's' }, 0);
  const domids: number[] = [];
  for (const name of given) domids.push(await findDomain(invocation, name));
  const client = await invocation.daemon();
  const { domains } = await client.call('list', {});
  const wanted =
    given.length === 0 ? domains : domids.flatMap((domid) => domains.filter((domain) => domain.domid === domid));
  const now = Date.now();
  const short = has('s');
  if (!short) invocation.out(`${'Name'.padEnd(33)} ${'ID'.padStart(4)} Uptime\n`);
  for (const domain of wanted) invocation.out(line(domain, now, short));
  return 0;
}

function line({ name, domid, startTime }: DomainSummary, now: number, short: boolean): string {
  const seconds = Math.max(0, Math.floor((now - startTime) / 1000));
  if (short) return ` ${new Date(now).toTimeString().slice(0, 8)} up ${duration(seconds, true)}, ${name} (${domid})\n`;
  return `${name.padEnd(33)} ${String(domid).padStart(4)} ${duration(seconds, false)}\n`;
}

export function duration(seconds: number, short: boolean): string {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${String(hours).padStart(2)}:${two(minutes)}${short ? '' : `:${two(seconds % 60)}`}`;
  return days > 1 ? `${days} days, ${time}` : days === 1 ? `1 day, ${time}` : time;
}
