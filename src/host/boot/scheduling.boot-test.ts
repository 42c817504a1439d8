/** Weights, caps, affinities and CPU pools act on what guests get of the host's processors. Run times are compared, not clocks: other programs may keep the machine busy. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { Machine, until } from '../testing/machine.ts';

const names = ['light', 'heavy'] as const;
const onePcpu = availableParallelism() < 2 ? 'a machine with one processor' : false;

describe('guests that want more than they get', () => {
  const machine = new Machine();
  const ran = async (): Promise<Record<string, number>> => {
    const rows = (await machine.ok('vcpu-list')).matchAll(/^(\w+) +\d+ +\d+ +\S+ +\S+ +([\d.]+) /gm);
    return Object.fromEntries([...rows].map(([, name = '', seconds]) => [name, Number(seconds)]));
  };
  /** What each ran while they ran so many seconds together. */
  const during = async (seconds: number): Promise<Record<(typeof names)[number], number> & { wall: number }> => {
    const [first, from] = [await ran(), performance.now()];
    return until(`${seconds} s of run time`, async () => {
      const now = await ran();
      const [light, heavy] = names.map((name) => (now[name] ?? 0) - (first[name] ?? 0)) as [number, number];
      return light + heavy >= seconds && { light, heavy, wall: (performance.now() - from) / 1000 };
    });
  };
  /** The host's processors that the thread of a domain's first vCPU may use (Linux only). */
  const allowed = async (name: string): Promise<string> => {
    const thread = `d${(await machine.state(name))?.domid}v0`;
    const tasks = `/proc/${await machine.daemonPid()}/task`;
    const task = readdirSync(tasks).find((tid) => readFileSync(join(tasks, tid, 'comm'), 'utf8').trim() === thread);
    const status = readFileSync(join(tasks, task ?? '', 'status'), 'utf8');
    return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  };

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const common = { kernel, ramdisk, cmdline: `console=hvc0 ${PLAIN_CONSOLE}`, memory: 96 };
    const [light, heavy] = [
      await machine.boot({ ...common, name: 'light' }),
      await machine.boot({ ...common, name: 'heavy', cpu_weight: 512 }),
    ];
    for (const guest of [light, heavy]) {
      await guest.ready();
      await guest.run('while :; do :; done &');
    }
  });
  after(() => machine.close());

  it('share a processor by weight', async (t) => {
    for (const name of names) await machine.ok('vcpu-pin', name, '0', '0');
    const { light, heavy, wall } = await during(6);
    t.diagnostic(`${light.toFixed(1)} s and ${heavy.toFixed(1)} s in ${wall.toFixed(1)} s`);
    assert(heavy / light > 1.5 && heavy / light < 2.7, `${heavy} s and ${light} s`);
    assert(light + heavy < wall * 1.1, 'they are on one processor');
    await machine.ok('sched-credit2', '-d', 'heavy', '-w', '64');
    const changed = await during(6);
    assert(changed.light / changed.heavy > 2.8, `${changed.light} s and ${changed.heavy} s`);
  });

  it('keep to their caps', async (t) => {
    await machine.ok('pause', 'heavy');
    await machine.ok('sched-credit2', '-d', 'light', '-c', '25');
    const { light, wall } = await during(2);
    t.diagnostic(`${light.toFixed(1)} s in ${wall.toFixed(1)} s`);
    assert(light / wall < 0.29 && light / wall > 0.1, `${light} s in ${wall} s`);
    await machine.ok('sched-credit2', '-d', 'light', '-c', '0');
    await machine.ok('unpause', 'heavy');
  });

  it('run on the processors that they are pinned to', { skip: onePcpu }, async () => {
    const first = await allowed('light');
    await machine.ok('vcpu-pin', 'light', '0', '1');
    await machine.ok('vcpu-pin', 'heavy', '0', '0');
    assert.notEqual(await allowed('light'), await allowed('heavy'));
    assert.notEqual(await allowed('light'), first);
    await until('both to be where they belong', async () => {
      const list = await machine.ok('vcpu-list');
      return /^light +\d+ +0 +1 .* 1 \/ all$/m.test(list) && /^heavy +\d+ +0 +0 .* 0 \/ all$/m.test(list);
    });
  });

  it('run in their CPU pool', { skip: onePcpu }, async () => {
    for (const name of names) await machine.ok('vcpu-pin', name, '0', 'all');
    await machine.ok('cpupool-cpu-remove', 'Pool-0', '1');
    await machine.ok('cpupool-create', 'name="other"', 'cpus=["1"]');
    const inFirst = await allowed('light');
    await machine.ok('cpupool-migrate', 'heavy', 'other');
    assert.equal(await allowed('light'), inFirst);
    assert.notEqual(await allowed('heavy'), inFirst);
    const { light, heavy } = await during(4);
    assert(light > 0.5 && heavy > 0.5, 'each has its own');
  });
});
