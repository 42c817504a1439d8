/** A thread that wants to run now and then, as a vCPU's does, and counts how many run at the same time. */
import { parentPort, workerData } from 'node:worker_threads';
import { RunQueueMemory } from '../../../hypervisor/sched/run-queue-memory.ts';
import { RunQueue } from '../../../hypervisor/sched/run-queue.ts';
import { VcpuSchedule } from '../../../hypervisor/sched/vcpu-schedule.ts';
import { clockFrom, type ClockStart } from '../clock.ts';

export interface QueueWork {
  readonly queue: SharedArrayBuffer;
  readonly nrCpus: number;
  readonly unit: number;
  readonly clock: ClockStart;
  readonly turns: number;
  /** How many run now, and the most there ever were. */
  readonly counts: SharedArrayBuffer;
}

const { queue, nrCpus, unit, clock, turns, counts } = workerData as QueueWork;
const running = new Int32Array(counts);
const schedule = new VcpuSchedule(new RunQueue(new RunQueueMemory(nrCpus, queue)), unit, clockFrom(clock));
const sleep = new Int32Array(new SharedArrayBuffer(4));
let random = unit + 1;

for (let turn = 0; turn < turns; turn++) {
  while (!schedule.enter()) schedule.wait();
  const now = Atomics.add(running, 0, 1) + 1;
  if (now > Atomics.load(running, 1)) Atomics.store(running, 1, now);
  random = (random * 48271) % 2147483647;
  for (let i = 0; i < random % 4096; i++) Atomics.load(running, 0);
  Atomics.sub(running, 0, 1);
  if (random % 5 === 0) {
    schedule.leave();
    Atomics.wait(sleep, 0, 0, (random >> 4) % 3);
  } else schedule.report(random % 7 === 0);
}
schedule.leave();
parentPort?.postMessage('done');
