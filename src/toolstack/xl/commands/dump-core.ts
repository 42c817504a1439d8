/** `xl dump-core` */
import { resolve } from 'node:path';
import { showProgress } from '../../image/show-progress.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', file = ''] = given;
  const domid = await findDomain(invocation, domain);
  const client = await invocation.daemon();
  const shown = showProgress(process.stderr, `dumping domain ${domid}`);
  client.onEvent = ({ progress }) => {
    if (typeof progress === 'object' && progress !== null && 'done' in progress && 'total' in progress)
      shown.report(Number(progress['done']), Number(progress['total']));
  };
  // The daemon writes it, from where it is.
  const rc = await attempt(invocation, () => client.call('dumpCore', { domid, path: resolve(file) }));
  shown.end();
  if (rc === undefined) return 0;
  invocation.err(`core dump failed (rc=${rc})`);
  return 1;
}
