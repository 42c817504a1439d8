import { writeFileSync } from 'node:fs';
import { median } from '../guest/boots.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { JsonObject } from '../../src/toolstack/config/json.ts';
import { configFromJson } from '../../src/toolstack/config/domain-config.ts';
import type { Row } from '../row.ts';

/** The least that Debian's kernel and the ramdisk fit in; the peers' figures are of guests with less. */
const MEMORY_MIB = 96;
const ROUNDS = 5;

interface Times {
  readonly save: number[];
  readonly restore: number[];
}

let times: Promise<Times> | undefined;

/** Milliseconds of the daemon's requests, by turns; the guest sits at its prompt. */
async function savesAndRestores(note: (text: string) => void): Promise<Times> {
  const xenolith = await Xenolith.start(note, { memory: MEMORY_MIB });
  try {
    const guest = await xenolith.create();
    await guest.shell();
    let { domid } = guest;
    const result: Times = { save: [], restore: [] };
    const path = xenolith.path('guest.save');
    for (let round = 0; round < ROUNDS; round++) {
      note(`save and restore ${round + 1} of ${ROUNDS}`);
      const config = configFromJson((await xenolith.daemon.call('configs', { domid })).configs[0]?.['config'] ?? null);
      if (config === undefined) throw new Error('the guest has no configuration');
      writeFileSync(path, '');
      result.save.push(
        await milliseconds(() => xenolith.daemon.call('save', { domid, path, offset: 0, after: 'destroy' })),
      );
      const how = { config: config as unknown as JsonObject, path, offset: 0, paused: false, monitor: false };
      result.restore.push(
        await milliseconds(async () => {
          ({ domid } = await xenolith.daemon.call('restore', { ...how, foreground: false }));
        }),
      );
    }
    return result;
  } finally {
    await xenolith.close();
  }
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

let moves: Promise<{ readonly total: number[]; readonly stopped: number[] }> | undefined;

/** Milliseconds of migrations between two daemons, there and back, as `xl migrate` reports them. */
async function migrations(note: (text: string) => void): Promise<{ total: number[]; stopped: number[] }> {
  const hosts = [
    await Xenolith.start(note, { memory: MEMORY_MIB }),
    await Xenolith.start(note, { memory: MEMORY_MIB }),
  ] as const;
  try {
    const guest = await hosts[0].create();
    await guest.shell();
    const result = { total: [] as number[], stopped: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      note(`migration ${round + 1} of ${ROUNDS}`);
      const [from, to] = round % 2 === 0 ? hosts : [hosts[1], hosts[0]];
      const { domid } = await from.daemon.call('domid', { name: 'bench1' });
      const said = await from.migrate(domid ?? -1, to);
      const [, total, stopped] = /([\d.]+) s in all, stopped for (\d+) ms/.exec(said) ?? [];
      result.total.push(Number(total) * 1000);
      result.stopped.push(Number(stopped));
    }
    return result;
  } finally {
    await Promise.all(hosts.map((host) => host.close()));
  }
}

const about = `of an idle guest of ${MEMORY_MIB} MiB: median of ${ROUNDS}`;

export const saved: Row = {
  name: 'migration.save',
  about: `the daemon's work for xl save, the file on disk, ${about}`,
  unit: 'ms',
  better: 'lower',
  goal: 128,
  peers: { 'LightVM (of its paper)': 30, 'Xen, small guest (of the same paper)': 128 },
  measure: async (note) => median((await (times ??= savesAndRestores(note))).save),
};

export const restored: Row = {
  name: 'migration.restore',
  about: `the daemon's work for xl restore, ${about}`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  peers: { 'LightVM (of its paper)': 20, 'Xen, small guest (of the same paper)': 550 },
  measure: async (note) => median((await (times ??= savesAndRestores(note))).restore),
};

export const migrated: Row = {
  name: 'migration.total',
  about: `xl migrate between two daemons of the machine, ${about}`,
  unit: 'ms',
  better: 'lower',
  goal: 1000,
  peers: {},
  measure: async (note) => median((await (moves ??= migrations(note))).total),
};

export const stopped: Row = {
  name: 'migration.downtime',
  about: `of that, from the request to suspend until it runs on the other side, ${about}`,
  unit: 'ms',
  better: 'lower',
  goal: 300,
  peers: {},
  measure: async (note) => median((await (moves ??= migrations(note))).stopped),
};
