/** A domain as the device commands look it up (libxl_domain_qualifier_to_domid): without one they say so, and need not end. */
import type { Invocation } from './command.ts';

export async function domainOrComplaint(invocation: Invocation, text: string): Promise<number | undefined> {
  if (/^[0-9]+$/.test(text)) return Number(text) % 2 ** 32;
  const client = await invocation.daemon();
  const { domid } = await client.call('domid', { name: text });
  if (domid !== null) return domid;
  invocation.err(`${text} is an invalid domain identifier`);
  return undefined;
}
