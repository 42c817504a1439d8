/** Weights, caps, affinities and CPU pools act on what guests get of the host's processors. Run times are compared, not clocks: other programs may keep the machine busy. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import type { GuestTerminal } from '../guest-terminal.ts';
import { until } from '../machine.ts';
import type { Pair } from './pair.ts';

const names = ['one', 'two'] as const;
const onePcpu = availableParallelism() < 2 ? 'a machine with one processor' : false;

/** The second one has twice the weight of the first. */
export function wantMoreThanTheyGet(pair: () => Pair): void {
  const ran = async (): Promise<Record<string, number>> => {
    const rows = (await pair().machine.ok('vcpu-list')).matchAll(/^(\w+) +\d+ +\d+ +\S+ +\S+ +([\d.]+) /gm);
    return Object.fromEntries([...rows].map(([, name = '', seconds]) => [name, Number(seconds)]));
  };
  /** What each ran while they ran so many seconds together. */
  const during = async (seconds: number): Promise<Record<(typeof names)[number], number> & { wall: number }> => {
    const [first, from] = [await ran(), performance.now()];
    return until(`${seconds} s of run time`, async () => {
      const now = await ran();
      const [one, two] = names.map((name) => (now[name] ?? 0) - (first[name] ?? 0)) as [number, number];
      return one + two >= seconds && { one, two, wall: (performance.now() - from) / 1000 };
    });
  };
  /** The host's processors that the thread of a domain's first vCPU may use (Linux only). */
  const allowed = async (name: string): Promise<string> => {
    const thread = `d${(await pair().machine.state(name))?.domid}v0`;
    const folder = (await pair().machine.vcpuThreads()).get(thread) ?? assert.fail(`no thread ${thread}`);
    const status = readFileSync(join(folder, 'status'), 'utf8');
    return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  };

  const works = new Map<GuestTerminal, number>();
  before(async () => {
    for (const guest of [pair().one, pair().two]) works.set(guest, await guest.start('while :; do :; done'));
  });
  after(async () => {
    for (const [guest, work] of works) await guest.run(`kill ${work}`);
  });

  it('share a processor by weight', async (t) => {
    const { machine } = pair();
    for (const name of names) await machine.ok('vcpu-pin', name, '0', '0');
    const { one, two, wall } = await during(4);
    t.diagnostic(`${one.toFixed(1)} s and ${two.toFixed(1)} s in ${wall.toFixed(1)} s`);
    assert(two / one > 1.5 && two / one < 2.7, `${two} s and ${one} s`);
    assert(one + two < wall * 1.1, 'they are on one processor');
    await machine.ok('sched-credit2', '-d', 'two', '-w', '64');
    const changed = await during(4);
    assert(changed.one / changed.two > 2.8, `${changed.one} s and ${changed.two} s`);
  });

  it('keep to their caps', async (t) => {
    const { machine } = pair();
    await machine.ok('pause', 'two');
    await machine.ok('sched-credit2', '-d', 'one', '-c', '25');
    const { one, wall } = await during(1.5);
    t.diagnostic(`${one.toFixed(1)} s in ${wall.toFixed(1)} s`);
    assert(one / wall < 0.29 && one / wall > 0.02, `${one} s in ${wall} s`);
    await machine.ok('sched-credit2', '-d', 'one', '-c', '0');
    await machine.ok('unpause', 'two');
  });

  it('run on the processors that they are pinned to', { skip: onePcpu }, async () => {
    const { machine } = pair();
    const first = await allowed('one');
    await machine.ok('vcpu-pin', 'one', '0', '1');
    await machine.ok('vcpu-pin', 'two', '0', '0');
    assert.notEqual(await allowed('one'), await allowed('two'));
    assert.notEqual(await allowed('one'), first);
    await until('both to be where they belong', async () => {
      const list = await machine.ok('vcpu-list');
      return /^one +\d+ +0 +1 .* 1 \/ all$/m.test(list) && /^two +\d+ +0 +0 .* 0 \/ all$/m.test(list);
    });
  });

  it('run in their CPU pool', { skip: onePcpu }, async () => {
    const { machine } = pair();
    for (const name of names) await machine.ok('vcpu-pin', name, '0', 'all');
    await machine.ok('cpupool-cpu-remove', 'Pool-0', '1');
    await machine.ok('cpupool-create', 'name="other"', 'cpus=["1"]');
    const inFirst = await allowed('one');
    await machine.ok('cpupool-migrate', 'two', 'other');
    assert.equal(await allowed('one'), inFirst);
    assert.notEqual(await allowed('two'), inFirst);
    const { one, two } = await during(4);
    assert(one > 0.5 && two > 0.5, 'each has its own');
    await machine.ok('cpupool-migrate', 'two', 'Pool-0');
    await machine.ok('cpupool-destroy', 'other');
    await machine.ok('cpupool-cpu-add', 'Pool-0', '1');
  });
}
