import { liveGuest, median } from '../guest/boots.ts';
import { busiest, threadTimes } from '../guest/thread-times.ts';
import type { Row } from '../row.ts';

const MIB = 32;
const ROUNDS = 3;
const MB = 1e6;

interface Run {
  /** Millions a second, by the processor time of the vCPU's thread where it can be told. */
  readonly instructions: number;
  readonly megabytes: number;
}

let measured: Promise<Run> | undefined;

async function measure(note: (text: string) => void): Promise<Run> {
  const { xenolith, guest } = await liveGuest(note);
  const runs: Run[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const cpu = threadTimes(xenolith.pid);
    const [before, from] = [await guest.instructions(), performance.now()];
    await guest.run(`dd if=/dev/zero bs=1M count=${MIB} 2>/dev/null | sha256sum`);
    const [after, to] = [await guest.instructions(), performance.now()];
    const wall = (to - from) / 1000;
    const seconds = busiest(cpu, threadTimes(xenolith.pid)) ?? wall;
    const run = { instructions: (after - before) / 1e6 / seconds, megabytes: (MIB * 2 ** 20) / MB / seconds };
    note(
      `round ${round + 1}: ${((after - before) / 1e6).toFixed(0)} million instructions in ${seconds.toFixed(1)} s on a processor, ${wall.toFixed(1)} s in all`,
    );
    runs.push(run);
  }
  return {
    instructions: median(runs.map((run) => run.instructions)),
    megabytes: median(runs.map((run) => run.megabytes)),
  };
}

const once = (note: (text: string) => void): Promise<Run> => (measured ??= measure(note));

export const instructions: Row = {
  name: 'cpu.sha256',
  about: `guest instructions a second while dd | sha256sum hashes ${MIB} MiB, by the processor time of the vCPU's thread`,
  unit: 'M/s',
  better: 'higher',
  goal: 60,
  peers: {},
  measure: async (note) => (await once(note)).instructions,
};

export const throughput: Row = {
  name: 'cpu.sha256.throughput',
  about: 'what it hashed a second of that time',
  unit: 'MB/s',
  better: 'higher',
  goal: 15,
  peers: { native: 122, 'QEMU TCG': 15, 'Xen on QEMU TCG': 11, v86: 5 },
  measure: async (note) => (await once(note)).megabytes,
};
