import { readFileSync } from 'node:fs';
import { median } from '../guest/boots.ts';
import { resident, residentRams } from '../guest/process-memory.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { Row } from '../row.ts';

const GUESTS = 6;
/** Debian's kernel and its ramdisk do not fit in less. */
const MEMORY_MIB = 96;
/** Of the guests that are counted: they are taken to have touched all of it. */
const COUNTED_MIB = 64;
const MIB = 2 ** 20;
const HOST_BYTES = 4096 * MIB;
/** After the last guest's prompt: what it began in its boot is done, and what it does from time to time comes a few times. */
const SETTLE_MS = 10_000;
const WATCH_MS = 20_000;

interface Density {
  /** Bytes of the daemon's process without a guest, and for each one beside its RAM. */
  readonly base: number;
  readonly overhead: number;
  /** Of a processor, for each guest. */
  readonly processor: number;
  /** Medians of seconds. */
  readonly create: number;
  readonly destroy: number;
}

let measured: Promise<Density> | undefined;

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Seconds that the process has been on a processor (proc(5), /proc/pid/stat; a tick is 10 ms). */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function measure(note: (text: string) => void): Promise<Density> {
  const xenolith = await Xenolith.start(note, { memory: MEMORY_MIB });
  try {
    const created: number[] = [];
    const held = (): number => resident(xenolith.pid) ?? NaN;
    const base = held();
    let domid = 0;
    for (let guest = 1; guest <= GUESTS; guest++) {
      const one = await xenolith.create();
      created.push(one.created);
      await one.shell();
      ({ domid } = one);
    }
    await pause(SETTLE_MS);
    const rams = residentRams(xenolith.pid, await xenolith.summary(domid));
    if (rams instanceof Error) throw rams;
    const ram = rams.reduce((sum, bytes) => sum + bytes, 0);
    const overhead = (held() - base - ram) / GUESTS;
    const [from, at] = [processorSeconds(xenolith.pid), performance.now()];
    await pause(WATCH_MS);
    const processor = (processorSeconds(xenolith.pid) - from) / ((performance.now() - at) / 1000) / GUESTS;
    const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
    note(
      `${mib(base)} without a guest; each holds ${mib(ram / GUESTS)} of its RAM and ${mib(overhead)} beside it, and takes ${(processor * 100).toFixed(2)} % of a processor`,
    );
    const destroyed: number[] = [];
    for (let guest = 1; guest <= GUESTS; guest++) destroyed.push(await xenolith.xl('destroy', `bench${guest}`));
    // The first one begins with a daemon that has built nothing yet.
    return { base, overhead, processor, create: median(created.slice(1)), destroy: median(destroyed) };
  } finally {
    await xenolith.close();
  }
}

const density = (note: (text: string) => void): Promise<Density> => (measured ??= measure(note));

export const guests: Row = {
  name: 'density.guests',
  about: `idle guests with ${COUNTED_MIB} MiB that 4 GiB of the host's memory hold, from what ${GUESTS} take beside their RAM`,
  unit: '',
  better: 'higher',
  goal: 24,
  peers: {},
  async measure(note) {
    const { base, overhead } = await density(note);
    return Math.floor((HOST_BYTES - base) / (COUNTED_MIB * MIB + overhead));
  },
};

export const processor: Row = {
  name: 'density.processor',
  about: `what an idle guest takes of a processor, of ${GUESTS} at their prompts for ${WATCH_MS / 1000} s`,
  unit: '%',
  better: 'lower',
  goal: 0.5,
  peers: {},
  measure: async (note) => (await density(note)).processor * 100,
};

export const create: Row = {
  name: 'xl.create.next',
  about: `until xl create returns, of a guest with ${MEMORY_MIB} MiB beside others: median of ${GUESTS - 1}`,
  unit: 's',
  better: 'lower',
  goal: 0.3,
  peers: {},
  measure: async (note) => (await density(note)).create,
};

export const destroy: Row = {
  name: 'xl.destroy',
  about: `xl destroy of a guest that runs: median of ${GUESTS}`,
  unit: 's',
  better: 'lower',
  goal: 0.3,
  peers: {},
  measure: async (note) => (await density(note)).destroy,
};
