/** Two guests on xenbr0 and a TCP connection between them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { guestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { builtPrograms } from '../comparison/programs.ts';
import type { Guest } from '../guest/guest.ts';
import { noteSteps } from '../guest/note-steps.ts';
import { Xenolith } from '../guest/xenolith.ts';

export interface PairFigures {
  /** Bytes a second of one connection, from the first guest to the second. */
  readonly bytesPerSecond: number;
  /** Seconds for one byte to go and come back. */
  readonly roundTrip: number;
}

const PROGRAM = '/bin/tcp-pair';
const PORT = 5001;
const MEGABYTES = 64;
const ROUND_TRIPS = 1000;
const addresses = ['192.168.77.1', '192.168.77.2'] as const;

let measured: Promise<PairFigures> | undefined;

/** Both are measured once, one after the other. */
export function pairFigures(note: (text: string) => void): Promise<PairFigures> {
  measured ??= measure(note);
  return measured;
}

async function measure(note: (text: string) => void): Promise<PairFigures> {
  const folder = await builtPrograms('amd64', undefined, join(import.meta.dirname, 'programs'));
  const program = readFileSync(join(folder, 'tcp-pair'));
  const files = await guestFiles({
    onProgress: noteSteps(note),
    extraFiles: { [PROGRAM]: { content: program, executable: true } },
  });
  const xenolith = await Xenolith.start(note, { files, vif: ['bridge=xenbr0'] });
  try {
    const guests = [await xenolith.create(), await xenolith.create()] as const;
    for (const [i, guest] of guests.entries()) {
      await guest.shell();
      await guest.run(`ifconfig eth0 ${addresses[i] ?? ''} up`);
    }
    const [client, server] = guests;
    await server.run(`${PROGRAM} serve ${PORT} & sleep 1`);
    // The first megabytes warm up the translator on both sides, and the connection's window.
    await figure(client, `stream ${addresses[1]} ${PORT} 16`);
    const bytesPerSecond = await figure(client, `stream ${addresses[1]} ${PORT} ${MEGABYTES}`);
    await figure(client, `echo ${addresses[1]} ${PORT} 100`);
    const roundTrip = 1 / (await figure(client, `echo ${addresses[1]} ${PORT} ${ROUND_TRIPS}`));
    return { bytesPerSecond, roundTrip };
  } finally {
    await xenolith.close();
  }
}

/** Units a second. */
async function figure(guest: Guest, args: string): Promise<number> {
  const printed = await guest.run(`${PROGRAM} ${args}`);
  const [, units, seconds] = /@end (\d+) ([\d.]+)/.exec(printed) ?? [];
  if (units === undefined || seconds === undefined) throw new Error(`tcp-pair ${args}: ${printed}`);
  return Number(units) / Number(seconds);
}
