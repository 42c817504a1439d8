import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../guest/boots.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { Row } from '../row.ts';

/** The least that Debian's kernel and the ramdisk fit in; and what should make no difference. */
const SMALL_MIB = 96;
const LARGE_MIB = 1024;
const ROUNDS = 5;
/** Clones that are counted together for what each of them takes, of the smaller guest. */
const CROWD = 8;
const KIB = 1024;
/** The daemon makes threads ready for clones that may come, and has time for it here. */
const REST_MS = 4000;

/** In milliseconds, from the request. */
interface Times {
  /** A guest that runs and has to suspend: until the daemon answers that the clone runs. */
  readonly running: number[];
  /** A clone that has not run yet is cloned: until the new one has executed instructions, and until its shell answers. */
  readonly begun: number[];
  readonly answered: number[];
  /** Bytes that the daemon's process holds more for each of `CROWD` clones at rest. */
  readonly clone: number;
}

/** What the process has alone, and its part of what it shares with itself: smaps counts pages that clones share once for each. */
function held(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * KIB;
}

async function forks(memory: number, note: (text: string) => void): Promise<Times> {
  const xenolith = await Xenolith.start(note, { memory });
  const { daemon, pid } = xenolith;
  const forked = async (domid: number, count: number, paused = false): Promise<readonly number[]> =>
    (await daemon.call('fork', { domid, count, paused })).clones.map((clone) => clone.domid);
  const timed = async (domid: number): Promise<{ clone: number; at: number }> => {
    await sleep(REST_MS);
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
      const one = await timed(guest.domid);
      times.running.push(performance.now() - one.at);
      await daemon.call('destroy', { domid: one.clone });
      const other = await timed(template);
      for (let begun = false; !begun;)
        begun = (await daemon.call('vcpus', { domids: [other.clone] })).vcpus.some((vcpu) => vcpu.instructions > 0);
      times.begun.push(performance.now() - other.at);
      const shell = await xenolith.attached(other.clone);
      await shell.run('true');
      times.answered.push(performance.now() - other.at);
      await shell.destroy();
    }
    note(`${CROWD} clones at rest`);
    await sleep(REST_MS);
    const before = held(pid);
    await forked(template, CROWD);
    await sleep(3 * REST_MS);
    return { ...times, clone: (held(pid) - before) / CROWD };
  } finally {
    await xenolith.close();
  }
}

const measured = new Map<number, Promise<Times>>();

function of(memory: number, note: (text: string) => void): Promise<Times> {
  const known = measured.get(memory) ?? forks(memory, note);
  measured.set(memory, known);
  return known;
}

const peers = { 'LightVM, restore (of its paper)': 20 };

export const forkRunning: Row = {
  name: 'fork.running',
  about: `the daemon's work for xl fork of an idle guest of ${SMALL_MIB} MiB that suspends for it, until the clone runs: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  peers,
  measure: async (note) => median((await of(SMALL_MIB, note)).running),
};

export const forkTemplate: Row = {
  name: 'fork.template',
  about: `xl fork of a paused clone of ${SMALL_MIB} MiB, until the new one has executed instructions: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers,
  measure: async (note) => median((await of(SMALL_MIB, note)).begun),
};

export const forkTemplateLarge: Row = {
  name: 'fork.template.1g',
  about: `the same of a guest of ${LARGE_MIB} MiB`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers,
  measure: async (note) => median((await of(LARGE_MIB, note)).begun),
};

export const forkAnswer: Row = {
  name: 'fork.answer',
  about: `the same of ${SMALL_MIB} MiB, until the new clone's shell answers`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  peers: {},
  measure: async (note) => median((await of(SMALL_MIB, note)).answered),
};

export const forkMemory: Row = {
  name: 'fork.memory',
  about: `memory of the daemon's process (Pss) for each of ${CROWD} idle clones of ${SMALL_MIB} MiB, all of it`,
  unit: 'MB',
  better: 'lower',
  goal: 40,
  peers: {},
  measure: async (note) => (await of(SMALL_MIB, note)).clone / 1e6,
};
