/** `xl top`: xentop 4.17, which xl runs in its place. Unlike xl's, it takes xentop's options. */
import { atoi } from '../../config/numbers.ts';
import { readArguments, type Invocation } from '../command.ts';
import type { TopState } from '../top/keys.ts';
import { topOptions } from '../top/options.ts';
import { runBatch, runScreen } from '../top/session.ts';

const DELAY_SECONDS = 3;

const version = `xentop 1.0
Xenolith's, with the columns and keys of Xen's
`;

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { has, valueOf } = await readArguments(invocation, topOptions, 0);
  if (has('V')) {
    out(version);
    return 0;
  }
  const iterations = atoi(valueOf('i') ?? '0');
  const state: TopState = {
    view: {
      vcpus: has('v'),
      networks: has('n'),
      disks: has('x'),
      repeatHeader: has('r'),
      fullName: has('f'),
      sort: 0,
      skip: 0,
    },
    delaySeconds: valueOf('d') === undefined ? DELAY_SECONDS : atoi(valueOf('d') ?? ''),
    answer: undefined,
  };
  const { stdin, stdout } = process;
  const terminal = process.env['TERM'] ?? 'unknown';
  if (!has('b') && !(stdin.isTTY && stdout.isTTY)) {
    err('xl top needs a terminal; with -b it writes to a file or a pipe');
    return 1;
  }
  if (!has('b') && ['unknown', 'dumb'].includes(terminal)) {
    err(`Error opening terminal: ${terminal}.`); // in curses' words
    return 1;
  }
  const client = await invocation.daemon();
  const ask = (): ReturnType<typeof client.call<'statistics'>> => client.call('statistics', {});
  // xentop's loop counts down to 0, and there is no end to it from there.
  const session = { ask, state, iterations: iterations > 0 ? iterations : Infinity };
  // A reader that has gone, as of `xl top -b | head`, ends it.
  stdout.on('error', () => process.exit(0));
  if (has('b')) await runBatch(session, out);
  else await runScreen(session, stdin, stdout);
  return 0;
}
