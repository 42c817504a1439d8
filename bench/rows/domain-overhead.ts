import { boots } from '../guest/boots.ts';
import type { Row } from '../row.ts';

const MB = 1e6;

export const row: Row = {
  name: 'domain.overhead',
  about:
    "growth of the daemon's resident memory from before xl create to the guest's prompt, less the resident pages of the guest's own frames (/proc/PID/pagemap)",
  unit: 'MB',
  better: 'lower',
  goal: 120,
  peers: {},
  async measure(note) {
    const [boot] = await boots(1, note);
    if (boot === undefined) throw new Error('nothing was booted');
    if (boot.overhead instanceof Error) throw boot.overhead;
    return boot.overhead / MB;
  },
};
