/** `xl debug-keys` and `xl set-parameters`: what comes of them is in the hypervisor's log (`xl dmesg`). */
import { attempt, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { err, name } = invocation;
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const [text = ''] = given;
  const client = await invocation.daemon();
  const keys = name === 'debug-keys';
  const failure = await attempt(invocation, () =>
    keys ? client.call('debugKeys', { keys: text }) : client.call('setParameters', { text }),
  );
  if (failure === undefined) return 0;
  err(keys ? `cannot send debug keys: ${text}` : `cannot set parameters: ${text}`);
  return 1;
}
