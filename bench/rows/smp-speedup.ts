import { median } from '../guest/boots.ts';
import type { Guest } from '../guest/guest.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { Row } from '../row.ts';

const MIB = 96;
const ROUNDS = 3;
/** Of taskset: the first vCPU alone, and both. */
const masks = { one: '1', both: '3' } as const;

interface Run {
  readonly seconds: number;
  /** Processor time of the busiest vCPU: what the run takes where nobody else wants the processors, if vCPUs never wait for each other. */
  readonly busiest: number;
  readonly all: number;
}

async function run(guest: Guest, mask: string): Promise<Run> {
  const sum = `taskset ${mask} sh -c 'dd if=/dev/zero bs=1M count=${MIB} 2>/dev/null | sha256sum'`;
  const [before, from] = [await guest.runTimes(), performance.now()];
  await guest.run(`(${sum}) & (${sum}) & wait`);
  const [after, to] = [await guest.runTimes(), performance.now()];
  const ran = after.map((time, vcpu) => time - (before[vcpu] ?? 0));
  return {
    seconds: (to - from) / 1000,
    busiest: Math.max(...ran),
    all: ran.reduce((sum_, time) => sum_ + time, 0),
  };
}

export const row: Row = {
  name: 'smp.speedup',
  about: `how many times as fast two dd | sha256sum of ${MIB} MiB side by side are with two vCPUs as with one, in the same guest`,
  unit: '×',
  better: 'higher',
  goal: 1.6,
  peers: {},
  async measure(note) {
    const xenolith = await Xenolith.start(note, { vcpus: 2 });
    try {
      const guest = await xenolith.create();
      await guest.shell();
      // What is hot is translated for each vCPU.
      for (const mask of [masks.one, masks.both, masks.both]) await run(guest, mask);
      const speedups: number[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        const [one, both] = [await run(guest, masks.one), await run(guest, masks.both)];
        const seconds = (value: number): string => `${value.toFixed(1)} s`;
        note(
          `round ${round}: ${seconds(one.seconds)} and ${seconds(both.seconds)}; on a processor ${seconds(one.all)} and ${seconds(both.all)}, ` +
            `by the busiest vCPU ${(one.busiest / both.busiest).toFixed(2)} times as fast`,
        );
        speedups.push(one.seconds / both.seconds);
      }
      return median(speedups);
    } finally {
      await xenolith.close();
    }
  },
};
