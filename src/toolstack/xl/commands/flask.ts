/** `xl getenforce`, `setenforce` and `loadpolicy`: there is no Flask here, as in Debian's Xen. These take no options, not even `-h`. */
import { openSync, closeSync } from 'node:fs';
import { printHelp, type Invocation } from '../command.ts';
import { systemMessage } from '../../system-message.ts';

/** -1 as an exit code. */
const minusOne = 255;

export async function run(invocation: Invocation): Promise<number> {
  const { name, argv, out, err } = invocation;
  const [argument] = argv;
  if (name === 'getenforce') {
    out('Flask XSM Disabled\n');
    return minusOne;
  }
  if (argument === undefined || (name === 'setenforce' && !modes.test(argument))) {
    await printHelp(invocation, name);
    return 2;
  }
  if (name === 'loadpolicy') {
    try {
      closeSync(openSync(argument, 'r'));
    } catch (error) {
      err(`Error occurred opening policy file '${argument}': ${systemMessage(error)}`);
      return minusOne;
    }
  }
  err('Flask XSM disabled');
  return minusOne;
}

const modes = /^(?:0|1|permissive|enforcing)$/i;
