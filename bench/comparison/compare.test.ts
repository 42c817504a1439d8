import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { XenError } from '../../src/toolstack/xen-error.ts';
import { Printed } from '../guest/console-text.ts';
import type { Equipment, Machine, Peer, PeerName, Run } from '../peers/peer.ts';
import { Comparison } from './compare.ts';
import type { Workload } from './workloads.ts';

const common = { about: '', unit: 'k/s', scale: 1000, start: 100 } as const;
const boot: Workload = { ...common, name: 'boot', scale: 1, better: 'lower', targets: { qemu: 1 } };
const work: Workload = {
  ...common,
  name: 'work',
  better: 'higher',
  command: (amount) => `work ${amount}`,
  targets: { qemu: 2 },
};

/** A peer that does `rate` of work a second, by a clock that costs no time. */
function peer(name: PeerName, rate: number, log: string[] = []): Peer {
  const run = (command: string): Promise<Run> => {
    const amount = Number(command.split(' ')[1]);
    const seconds = amount / rate;
    log.push(`${name} ${amount}`);
    const begin = '@begin\n';
    const printed = new Printed(`${begin}@end ${amount} ${seconds.toFixed(6)}\n`, [
      { end: begin.length, at: 0 },
      { end: 1000, at: seconds * 1000 },
    ]);
    return Promise.resolve({ printed, share: name === 'qemu' ? 0.5 : undefined });
  };
  const machine: Machine = { init: 1000 / rate, run, stop: () => Promise.resolve(void log.push(`${name} stops`)) };
  return { name, title: name, about: '', equipment: ['bare'], start: () => Promise.resolve(machine) };
}

function comparison(peers: readonly Peer[], notes: string[] = [], busy = false): Comparison {
  return new Comparison(peers, {
    rounds: 3,
    seconds: 1,
    busy,
    note: (text) => notes.push(text),
    progress: () => undefined,
  });
}

describe('a comparison', () => {
  it('gives each peer as much work as it does in the wanted time, and takes turns', async () => {
    const log: string[] = [];
    const { figures } = await comparison([peer('xenolith', 4000, log), peer('qemu', 1000, log)]).measure(work);
    assert.deepEqual(figures.get('qemu'), {
      value: { median: 1, min: 1, max: 1 },
      ratio: { median: 4, min: 4, max: 4 },
    });
    assert.equal(figures.get('xenolith')?.ratio, undefined);
    const rounds = Array<string[]>(3).fill(['xenolith 4000', 'qemu 1000']).flat();
    assert.deepEqual(log.slice(-6), rounds);
  });

  it('counts the time on a processor alone when the machine is busy', async () => {
    const { figures } = await comparison([peer('xenolith', 4000), peer('qemu', 1000)], [], true).measure(work);
    assert.equal(figures.get('qemu')?.value.median, 2);
    assert.equal(figures.get('xenolith')?.value.median, 4);
  });

  it('takes the boot’s time from starting the peers, and stops all but the last ones', async () => {
    const log: string[] = [];
    const running = comparison([peer('xenolith', 4000, log), peer('qemu', 1000, log)]);
    const { figures } = await running.measure(boot);
    assert.equal(figures.get('qemu')?.ratio?.median, 4);
    assert.equal(log.length, 4);
    await running.close();
    assert.equal(log.length, 6);
  });

  it('reckons a time by the unit', async () => {
    const trips: Workload = { ...work, unit: 'µs', scale: 1e6, better: 'lower' };
    const { figures } = await comparison([peer('xenolith', 4000), peer('qemu', 1000)]).measure(trips);
    assert.deepEqual(figures.get('qemu'), {
      value: { median: 1000, min: 1000, max: 1000 },
      ratio: { median: 4, min: 4, max: 4 },
    });
  });

  it('starts machines with what a workload wants, of the peers that have it', async () => {
    const log: string[] = [];
    const equipped = (name: PeerName, equipment: readonly Equipment[]): Peer => {
      const bare = peer(name, 1000, log);
      return { ...bare, equipment, start: (note, what) => (log.push(`${name} ${what}`), bare.start(note, what)) };
    };
    const running = comparison([equipped('xenolith', ['bare', 'disk']), equipped('v86', ['bare'])]);
    await running.measure(work);
    const { figures } = await running.measure({ ...work, equipment: 'disk' });
    assert.deepEqual([...figures.keys()], ['xenolith']);
    assert.deepEqual([...running.missing], []);
    const starts = log.filter((line) => !/ \d+$/.test(line));
    assert.deepEqual(starts, ['xenolith bare', 'v86 bare', 'xenolith stops', 'v86 stops', 'xenolith disk']);
  });

  it('reckons devices by the clock even when the machine is busy', async () => {
    const own = { ...peer('qemu', 1000), equipment: ['disk'] } as const;
    const { figures } = await comparison([own], [], true).measure({ ...work, equipment: 'disk' });
    assert.equal(figures.get('qemu')?.value.median, 1);
  });

  it('does without a peer that is not installed, and tells which package brings it', async () => {
    const absent: Peer = {
      ...peer('qemu', 1),
      start: () => Promise.reject(new XenError('no qemu', { hint: 'apt-get install qemu-system-x86' })),
    };
    const running = comparison([peer('xenolith', 4000), absent]);
    const { figures } = await running.measure(work);
    assert.deepEqual([...figures.keys()], ['xenolith']);
    assert.deepEqual([...running.missing], [['qemu', 'no qemu (apt-get install qemu-system-x86)']]);
  });

  it('leaves out a peer whose program fails, stops its machine and goes on', async () => {
    const log: string[] = [];
    const notes: string[] = [];
    const failing: Peer = {
      ...peer('qemu', 1),
      start: () =>
        Promise.resolve({
          init: 1,
          run: () => Promise.resolve({ printed: new Printed('Segmentation fault\n', [{ end: 99, at: 0 }]), share: 1 }),
          stop: () => Promise.resolve(void log.push('stops')),
        }),
    };
    const { figures } = await comparison([peer('xenolith', 4000), failing], notes).measure(work);
    assert.deepEqual([...figures.keys()], ['xenolith']);
    assert.deepEqual(log, ['stops']);
    assert.match(notes.join('\n'), /work: qemu not measured: .*Segmentation fault/);
  });
});
