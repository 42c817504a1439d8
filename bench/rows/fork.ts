import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../guest/boots.ts';
import { atRest } from '../guest/thread-times.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { Row } from '../row.ts';

/** The least that Debian's kernel and the ramdisk fit in; and what should make no difference. */
const SMALL_MIB = 96;
const LARGE_MIB = 1024;
const ROUNDS = 5;
/** Clones that are counted together for what each of them takes, of the smaller guest. */
const CROWD = 8;
const KIB = 1024;
const RENEWAL_MS = 500;

/** In milliseconds, from the request. */
interface Times {
  /** A guest that runs and has to suspend: until the daemon answers that the clone runs. */
  readonly running: number[];
  /** A clone that has not run yet is cloned: until the new one has executed instructions, and until its shell answers. */
  readonly begun: number[];
  readonly answered: number[];
}

/** Spare threads are made some tenths of a second after others were taken. */
async function rest(pid: number): Promise<void> {
  await sleep(RENEWAL_MS);
  await atRest(pid);
}

/** What the process has alone, and its part of what it shares with itself: smaps counts pages that clones share once for each. */
function held(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * KIB;
}

/** A fork whose daemon has made ready what it makes ready for clones that may come. */
interface Begun {
  readonly clone: number;
  readonly at: number;
}

interface Forks {
  readonly times: Times;
  /** Bytes that the daemon's process holds more for each of `CROWD` clones at rest. */
  readonly clone: number;
}

/** `only` what has to do with size: how long a clone of a template takes until it runs. */
async function forks(memory: number, note: (text: string) => void, only?: 'begun'): Promise<Forks> {
  const xenolith = await Xenolith.start(note, { memory });
  const { daemon, pid } = xenolith;
  const forked = async (domid: number, count: number, paused = false): Promise<readonly number[]> =>
    (await daemon.call('fork', { domid, count, paused })).clones.map((clone) => clone.domid);
  const timed = async (domid: number): Promise<Begun> => {
    await rest(pid);
    const at = performance.now();
    const [clone = NaN] = await forked(domid, 1);
    return { clone, at };
  };
  try {
    const guest = await xenolith.create();
    await guest.shell();
    const [template = NaN] = await forked(guest.domid, 1, true);
    const times = { running: [] as number[], begun: [] as number[], answered: [] as number[] };
    for (let round = 1; round <= ROUNDS; round++) {
      note(`clones of a guest with ${memory} MiB, ${round} of ${ROUNDS}`);
      if (only === undefined) {
        const one = await timed(guest.domid);
        times.running.push(performance.now() - one.at);
        await daemon.call('destroy', { domid: one.clone });
      }
      const other = await timed(template);
      for (let begun = false; !begun;)
        begun = (await daemon.call('vcpus', { domids: [other.clone] })).vcpus.some((vcpu) => vcpu.instructions > 0);
      times.begun.push(performance.now() - other.at);
      if (only === 'begun') {
        await daemon.call('destroy', { domid: other.clone });
        continue;
      }
      const shell = await xenolith.attached(other.clone);
      await shell.run('true');
      times.answered.push(performance.now() - other.at);
      await shell.destroy();
    }
    if (only === 'begun') return { times, clone: NaN };
    note(`${CROWD} clones at rest`);
    await rest(pid);
    const before = held(pid);
    await forked(template, CROWD);
    await rest(pid);
    return { times, clone: (held(pid) - before) / CROWD };
  } finally {
    await xenolith.close();
  }
}

let small: Promise<Forks> | undefined;

const ofSmall = (note: (text: string) => void): Promise<Forks> => (small ??= forks(SMALL_MIB, note));

const peers = { 'LightVM, restore (of its paper)': 20 };

export const forkRunning: Row = {
  name: 'fork.running',
  about: `the daemon's work for xl fork of an idle guest of ${SMALL_MIB} MiB that suspends for it, until the clone runs: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  peers,
  measure: async (note) => median((await ofSmall(note)).times.running),
};

export const forkTemplate: Row = {
  name: 'fork.template',
  about: `xl fork of a paused clone of ${SMALL_MIB} MiB, until the new one has executed instructions: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers,
  measure: async (note) => median((await ofSmall(note)).times.begun),
};

export const forkTemplateLarge: Row = {
  name: 'fork.template.1g',
  about: `the same of a guest of ${LARGE_MIB} MiB`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers,
  measure: async (note) => median((await forks(LARGE_MIB, note, 'begun')).times.begun),
};

export const forkAnswer: Row = {
  name: 'fork.answer',
  about: `the same of ${SMALL_MIB} MiB, until the new clone's shell answers`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  // From a snapshot of 256 MiB until ssh answers, on a server with KVM.
  peers: { 'Firecracker (as published)': 176 },
  measure: async (note) => median((await ofSmall(note)).times.answered),
};

export const forkMemory: Row = {
  name: 'fork.memory',
  about: `memory of the daemon's process (Pss) for each of ${CROWD} idle clones of ${SMALL_MIB} MiB, all of it`,
  unit: 'MB',
  better: 'lower',
  goal: 40,
  peers: {},
  measure: async (note) => (await ofSmall(note)).clone / 1e6,
};
