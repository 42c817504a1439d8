import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, it } from 'node:test';
import { RunQueueMemory } from '../../hypervisor/sched/run-queue-memory.ts';
import { RunQueue } from '../../hypervisor/sched/run-queue.ts';
import { HostCpus, parseList } from './host-cpus.ts';
import { VcpuPlacement } from './vcpu-placement.ts';

/** What was asked of the host's kernel. */
class AskedCpus extends HostCpus {
  readonly asked: [number, readonly number[]][] = [];
  willing = true;

  override confine(tid: number, cpus: readonly number[]): boolean {
    this.asked.push([tid, cpus]);
    return this.willing;
  }

  override lastOf(): undefined {
    return undefined;
  }
}

const scheduling = { weight: 512, cap: 50, ratelimitUs: 1000, cpus: [[1], [0, 1]] };

describe('the placement of vCPUs', () => {
  it('is known before their threads are, and follows changes', () => {
    const cpus = new AskedCpus([0, 1]);
    const placement = new VcpuPlacement(2, assert.fail, cpus);
    placement.set(7, scheduling);
    const { queue, unit = -1 } = placement.add(7, 0);
    const memory = new RunQueueMemory(2, queue);
    assert.deepEqual(
      [memory.unit(unit, 'weight'), memory.allowed(unit, 0), memory.allowed(unit, 1)],
      [512, false, true],
    );
    assert.deepEqual(cpus.asked, []);
    placement.named(7, 0, 1234);
    placement.set(7, { ...scheduling, cpus: [] });
    assert.deepEqual(cpus.asked, [
      [1234, [1]],
      [1234, [0, 1]],
    ]);
    assert.equal(memory.allowed(unit, 0), true);
  });

  it('tells how long and where they ran, until the domain is gone', () => {
    const placement = new VcpuPlacement(2, assert.fail, new AskedCpus([0, 1]));
    const { queue, unit = -1 } = placement.add(3, 1);
    assert.equal(placement.ranNs(3, 0), undefined);
    const threads = new RunQueue(new RunQueueMemory(2, queue));
    assert.equal(threads.enter(unit, 0), true);
    threads.report(unit, 5000, 5000);
    assert.deepEqual([placement.ranNs(3, 1), placement.cpuOf(3, 1)], [5000, 0]);
    placement.rouse(3);
    assert.equal(threads.runs(unit), false);
    placement.forget(3);
    assert.deepEqual([placement.ranNs(3, 1), placement.cpuOf(3, 1)], [undefined, undefined]);
    assert.equal(placement.add(4, 0).unit, unit);
  });

  it(
    'frees a thread that was confined for the domain that it served before',
    { skip: process.platform !== 'linux' },
    () => {
      const tid = Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0]);
      const allowed = (): string | undefined =>
        /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(`/proc/self/task/${tid}/status`, 'latin1'))?.[1];
      const free = allowed();
      const placement = new VcpuPlacement(availableParallelism(), assert.fail);
      placement.set(1, { ...scheduling, cpus: [[0]] });
      placement.add(1, 0);
      placement.named(1, 0, tid);
      const confined = allowed();
      placement.ended(1, 0);
      placement.forget(1);
      placement.add(2, 0);
      placement.named(2, 0, tid);
      assert.equal(allowed(), free);
      assert.equal(parseList(confined ?? '').length, 1);
    },
  );

  it('says once where the host does not keep threads on processors', () => {
    const lines: string[] = [];
    const cpus = new AskedCpus([0, 1]);
    cpus.willing = false;
    const placement = new VcpuPlacement(2, (line) => lines.push(line), cpus);
    for (const vcpu of [0, 1]) {
      placement.add(1, vcpu);
      placement.named(1, vcpu, 100 + vcpu);
    }
    placement.set(1, scheduling);
    assert.equal(lines.length, 1);
  });
});
