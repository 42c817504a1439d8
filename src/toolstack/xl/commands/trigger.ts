/** `xl trigger` and `xl button-press`. What becomes of it does not change the exit code. */
import { enumeration } from '../../config/enumeration.ts';
import { strtol } from '../../config/numbers.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

const triggers = ['power', 'sleep', 'nmi', 'init', 'reset', 's3resume'];

export async function run(invocation: Invocation): Promise<number> {
  const { err, name } = invocation;
  const isButton = name === 'button-press';
  if (isButton) err('WARNING: "button-press" is deprecated. Please use "trigger"');
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', word = '', vcpuText] = given;
  const domid = await findDomain(invocation, domain);
  const trigger = isButton ? ['power', 'sleep'].find((button) => button === word) : enumeration(triggers, word);
  if (trigger === undefined) {
    err(isButton ? `${word} is an invalid button identifier` : `Invalid trigger "${word}"`);
    return 1;
  }
  const read = strtol(isButton ? '' : (vcpuText ?? ''), 10);
  if (!isButton && vcpuText !== undefined && read.end === 0) err('Invalid vcpuid, using default vcpuid=0.\n');
  const client = await invocation.daemon();
  await attempt(invocation, () => client.call('trigger', { domid, trigger, vcpu: read.value | 0 }));
  return 0;
}
