import { chmodSync } from 'node:fs';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import { fetchBusybox } from '../../src/toolstack/guest-files/busybox.ts';
import { builtPrograms } from '../comparison/programs.ts';
import { ConsoleText } from '../guest/console-text.ts';
import type { Peer } from './peer.ts';
import { guarded } from './processes.ts';

/** The same static programs, as processes of the host. */
export const native: Peer = {
  name: 'native',
  title: 'native',
  about: 'the same programs on the host itself',
  async start(note) {
    const cache = new Cache();
    const busybox = await fetchBusybox('amd64', cache, ({ step }) => note(step));
    const variables = `export B='${await builtPrograms('amd64')}' X='${busybox}'`;
    // The cache keeps it as a file for ramdisks.
    chmodSync(busybox, 0o755);
    return {
      init: undefined,
      async run(command, patienceMs) {
        const { process, end } = await guarded('sh', ['-c', `${variables}; ${command}; echo; echo ended $?`], '');
        const text = new ConsoleText();
        process.stdout.on('data', (bytes: Uint8Array) => text.feed(bytes));
        process.stderr.on('data', (bytes: Uint8Array) => text.feed(bytes));
        process.once('close', () => text.end());
        try {
          return await text.expect('\nended ', patienceMs);
        } finally {
          await end();
        }
      },
      stop: () => Promise.resolve(),
    };
  },
};
