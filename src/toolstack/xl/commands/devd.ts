/** `xl devd`: backends are part of the daemon, so all there is to do is to have it run. */
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  await readArguments(invocation, { short: 'Fp:', long: { pidfile: 'p:' } }, 0);
  await invocation.daemon();
  return 0;
}
