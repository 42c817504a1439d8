/** `xl completion`: a shell's script, or, for that script, what can stand at a place of a command line. */
import { atoi } from '../../config/numbers.ts';
import { printHelp, readArguments, type Invocation } from '../command.ts';
import { candidates } from '../completion/candidates.ts';
import { runningAt } from '../completion/running.ts';
import { isShell, shells } from '../completion/scripts.ts';

const rules = { short: 'w:', long: { words: 'w:' } };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { valueOf, arguments: words } = await readArguments(invocation, rules, 0);
  const place = valueOf('w');
  if (place !== undefined) return answer(invocation, words, atoi(place) - 1);
  const { arguments: given } = await readArguments(invocation, rules, 1);
  const [shell = ''] = given;
  if (isShell(shell)) {
    out(shells[shell]);
    return 0;
  }
  err(`There is no completion for "${shell}".\n`);
  await printHelp(invocation, 'completion');
  return 1;
}

/** `at`: among the words after xl. */
async function answer({ out, daemonIfRunning }: Invocation, words: readonly string[], at: number): Promise<number> {
  const client = await daemonIfRunning().catch(() => undefined);
  const found = await candidates(words, at, runningAt(client));
  // A name that a shell would take for more than a word helps nobody.
  const lines = found.words.filter(({ text }) => /^[^\s\p{Cc}]+$/u.test(text));
  out(lines.map(({ text, description }) => `${text}\t${description.replace(/\s+/g, ' ')}\n`).join(''));
  if (found.files) out(':files\n');
  return 0;
}
