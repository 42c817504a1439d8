import { chmodSync } from 'node:fs';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import { fetchBusybox } from '../../src/toolstack/guest-files/busybox.ts';
import { builtPrograms } from '../comparison/programs.ts';
import { ConsoleText } from '../guest/console-text.ts';
import { noteSteps } from '../guest/note-steps.ts';
import type { Peer } from './peer.ts';
import { guarded } from './processes.ts';

/** The same static programs, as processes of the host. */
export const native: Peer = {
  name: 'native',
  title: 'native',
  about: 'the same programs on the host itself',
  equipment: ['bare'],
  async start(note) {
    const cache = new Cache();
    const busybox = await fetchBusybox('amd64', cache, noteSteps(note));
    const variables = `export B='${await builtPrograms('amd64')}' X='${busybox}'`;
    // The cache keeps it as a file for ramdisks.
    chmodSync(busybox, 0o755);
    return {
      init: undefined,
      async run(command, patienceMs) {
        const { process, end } = await guarded('sh', ['-c', `${variables}; ${command}; echo; times; echo ended`], '');
        const text = new ConsoleText();
        process.stdout.on('data', (bytes: Uint8Array) => text.feed(bytes));
        process.stderr.on('data', (bytes: Uint8Array) => text.feed(bytes));
        process.once('close', () => text.end());
        try {
          const from = performance.now();
          const printed = await text.expect('\nended', patienceMs);
          const seconds = (performance.now() - from) / 1000;
          return { printed, share: childrensTime(printed.text) / seconds };
        } finally {
          await end();
        }
      },
      stop: () => Promise.resolve(),
    };
  },
};

/** Seconds on a processor of what a shell started, after its command `times`: user and system time, of itself, then of the others (POSIX, "times"). */
function childrensTime(said: string): number {
  const times = [...said.matchAll(/(\d+)m(\d+[.,]\d+)s/g)].slice(-2);
  return times.reduce(
    (sum, [, minutes = '', seconds = '']) => sum + Number(minutes) * 60 + Number(seconds.replace(',', '.')),
    0,
  );
}
