/** `xl dmesg` */
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { has } = await readArguments(invocation, { short: 'c', long: { clear: 'c' } }, 0);
  const client = await invocation.daemon();
  const { text } = await client.call('dmesg', { clear: has('c') });
  invocation.out(text);
  return 0;
}
