/** The run queue between real threads: none is forgotten, and no more of them run than there are processors. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { RunQueueMemory, UnitState } from '../../hypervisor/sched/run-queue-memory.ts';
import { RunQueue } from '../../hypervisor/sched/run-queue.ts';
import { startClock } from './clock.ts';
import type { QueueWork } from './testing/queue-worker.ts';

const TURNS = 1500;
const nrCpus = 2;
const THREADS = 6;

describe('threads at a run queue', { timeout: 600_000 }, () => {
  for (const cap of [0, 60])
    it(`all get their turns ${cap === 0 ? '' : 'under a cap '}and keep out of each other's way`, async () => {
      const memory = new RunQueueMemory(nrCpus);
      const queue = new RunQueue(memory);
      const counts = new SharedArrayBuffer(8);
      const clock = startClock();
      queue.setCap(1, cap);
      const workers = Array.from({ length: THREADS }, (_, i) => {
        const cpus = i === 0 ? [0] : i === 1 ? [1] : [0, 1];
        const unit = queue.add(i % 2, { weight: 100 * (i + 1), cpus, ratelimitUs: 0 }) ?? -1;
        const workerData: QueueWork = { queue: memory.buffer, nrCpus, unit, clock, turns: TURNS, counts };
        return new Worker(new URL('./testing/queue-worker.ts', import.meta.url), { workerData });
      });
      await Promise.all(workers.map((worker) => once(worker, 'exit')));
      const most = new Int32Array(counts)[1] ?? 0;
      assert(most >= 1 && most <= nrCpus, `${most} at a time`);
      assert.equal(memory.header('waiting'), 0);
      for (let cpu = 0; cpu < nrCpus; cpu++) assert.equal(memory.runner(cpu), -1);
      for (let unit = 0; unit < THREADS; unit++) {
        assert.equal(memory.unit(unit, 'state'), UnitState.RESTING);
        assert(memory.time(unit, 'ran') > 0);
        queue.remove(unit);
      }
      assert.equal(memory.header('limit'), 0);
    });
});
