/** The run queue in simulated time: threads are steps of a loop, and every step is as long as the last. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CAP_PERIOD, RunQueue } from './run-queue.ts';
import { RunQueueMemory, UnitState } from './run-queue-memory.ts';

const STEP = 0.1e6;
const SECOND = 1e9;
const ratelimitUs = 1000;

interface Guest {
  readonly unit: number;
  /** Whether it has something to do at a time; default: always. */
  readonly busy: (now: number) => boolean;
}

class Simulation {
  readonly queue: RunQueue;
  readonly guests: Guest[] = [];
  readonly nrCpus: number;
  now = 0;
  /** Steps in which a processor had nobody although somebody could have run there. */
  wasted = 0;

  constructor(nrCpus: number) {
    this.nrCpus = nrCpus;
    this.queue = new RunQueue(new RunQueueMemory(nrCpus));
  }

  get cpus(): number[] {
    return Array.from({ length: this.nrCpus }, (_, cpu) => cpu);
  }

  add(domain: number, weight = 256, cpus = this.cpus, busy: Guest['busy'] = () => true): Guest {
    const unit = this.queue.add(domain, { weight, cpus, ratelimitUs });
    assert(unit !== undefined);
    const guest = { unit, busy };
    this.guests.push(guest);
    return guest;
  }

  run(seconds: number): void {
    for (const end = this.now + seconds * SECOND; this.now < end; this.now += STEP) this.#step();
  }

  /** Time that a guest ran, in parts of one processor of the whole time. */
  share({ unit }: Guest): number {
    return this.queue.memory.time(unit, 'ran') / this.now;
  }

  #step(): void {
    const { memory } = this.queue;
    const state = (unit: number): number => memory.unit(unit, 'state');
    for (const { unit, busy } of this.guests) {
      const wants = busy(this.now);
      if (!wants && state(unit) !== UnitState.RESTING) this.queue.leave(unit, 0);
      // A waiting thread sleeps; a parked one until its domain's budget is filled.
      const asks = state(unit) === UnitState.RESTING || this.now >= this.queue.untilFilled(unit);
      if (wants && (asks || state(unit) === UnitState.RUNNING)) this.queue.enter(unit, this.now);
    }
    const running = this.guests.filter(({ unit }) => state(unit) === UnitState.RUNNING);
    for (const { unit } of running) {
      const cpu = memory.unit(unit, 'cpu');
      assert.equal(memory.runner(cpu), unit);
    }
    const waiting = this.guests.filter(({ unit }) => state(unit) === UnitState.WAITING);
    assert.equal(memory.header('waiting'), waiting.length);
    const idle = this.cpus.filter((cpu) => memory.runner(cpu) < 0);
    assert.equal(idle.length, this.nrCpus - running.length);
    if (idle.some((cpu) => waiting.some(({ unit }) => memory.allowed(unit, cpu)))) this.wasted++;
    for (const { unit } of running) this.queue.report(unit, STEP, this.now + STEP);
    for (const { unit } of this.guests) {
      const cpu = memory.unit(unit, 'cpu');
      if (state(unit) === UnitState.RUNNING) assert(memory.allowed(unit, cpu), `unit ${unit} runs on ${cpu}`);
    }
  }
}

function near(value: number, expected: number, tolerance = 0.02): void {
  assert(Math.abs(value - expected) <= tolerance, `${value.toFixed(3)} instead of ${expected}`);
}

describe('the run queue', () => {
  it('shares a processor by weight', () => {
    const host = new Simulation(1);
    const guests = [256, 512, 128].map((weight, domain) => host.add(domain, weight));
    host.run(5);
    for (const [i, weight] of [256, 512, 128].entries()) near(host.share(guests[i] as Guest), weight / 896);
    assert.equal(host.wasted, 0);
  });

  it('shares by extreme weights without starving anybody', () => {
    const host = new Simulation(1);
    const [light, heavy] = [host.add(0, 1), host.add(1, 65535)];
    host.run(20);
    near(host.share(heavy), 1);
    assert(host.share(light) > 0);
  });

  it('gives each of three equals two thirds of two processors', () => {
    const host = new Simulation(2);
    const guests = [0, 1, 2].map((domain) => host.add(domain));
    host.run(5);
    for (const guest of guests) near(host.share(guest), 2 / 3);
    assert.equal(host.wasted, 0);
  });

  it('lets a light guest have what the others leave', () => {
    const host = new Simulation(2);
    const [light, heavy] = [host.add(0, 1), host.add(1, 1000)];
    host.run(1);
    near(host.share(light), 1);
    near(host.share(heavy), 1);
  });

  it('keeps to caps, below and above one processor', () => {
    const host = new Simulation(4);
    host.queue.setCap(0, 25);
    host.queue.setCap(1, 150);
    const quarter = host.add(0);
    const two = [host.add(1), host.add(1)] as const;
    const free = host.add(2);
    host.run(5);
    near(host.share(quarter), 0.25);
    near(host.share(two[0]) + host.share(two[1]), 1.5);
    near(host.share(free), 1);
  });

  it('lets a parked guest go when its cap is lifted', () => {
    const host = new Simulation(1);
    host.queue.setCap(0, 1);
    const guest = host.add(0);
    host.run(1);
    near(host.share(guest), 0.01, 0.005);
    host.queue.setCap(0, 0);
    host.run(1);
    near(host.share(guest), 0.505);
  });

  it('pays back at the pace of the cap what a guest ran too long', () => {
    const { queue } = new Simulation(1);
    queue.setCap(0, 50);
    const unit = queue.add(0, { weight: 256, cpus: [0], ratelimitUs }) ?? -1;
    assert.equal(queue.enter(unit, 0), true);
    queue.report(unit, 2.25 * CAP_PERIOD, 0);
    assert.equal(queue.untilFilled(unit), 4 * CAP_PERIOD);
    assert.equal(queue.enter(unit, 4 * CAP_PERIOD - 1), false);
    assert.equal(queue.enter(unit, 4 * CAP_PERIOD), true);
  });

  it('runs vCPUs on the processors they may have, and others make room', () => {
    const host = new Simulation(2);
    const anywhere = host.add(0);
    host.run(0.1);
    const pinned = host.add(1, 256, [host.queue.memory.unit(anywhere.unit, 'cpu')]);
    host.run(2);
    assert.equal(host.queue.memory.unit(pinned.unit, 'cpu'), 0);
    near(host.share(anywhere), 1);
    assert(host.share(pinned) > 0.9);
  });

  it('follows when a running vCPU is pinned elsewhere', () => {
    const host = new Simulation(2);
    const [a, b] = [host.add(0), host.add(1)];
    host.run(0.1);
    for (const { unit } of [a, b]) host.queue.place(unit, { weight: 256, cpus: [1], ratelimitUs });
    host.run(2);
    near(host.share(a), 0.52, 0.03);
    near(host.share(b), 0.52, 0.03);
    assert.equal(host.queue.memory.runner(0), -1);
  });

  it('lets who sleeps most of the time run at once, and save nothing up', () => {
    const host = new Simulation(1);
    const hog = host.add(0);
    // 0.4 ms of work every 10 ms.
    const done = (): number => host.queue.memory.time(interactive.unit, 'ran') / 0.4e6;
    const interactive: Guest = host.add(1, 256, [0], (at) => at / 10e6 > done());
    host.run(5);
    near(host.share(interactive), 0.04, 0.002);
    // After a long rest it does not hold the others up for longer than a short while.
    const sleeper = host.add(2, 256, [0], (at) => at > 10e9);
    host.run(5);
    const before = host.queue.memory.time(hog.unit, 'ran');
    host.run(0.1);
    assert(host.queue.memory.time(hog.unit, 'ran') - before > 0.03 * SECOND);
    assert(host.queue.memory.time(sleeper.unit, 'ran') > 0.03 * SECOND);
  });

  it('lets others go first when a vCPU yields', () => {
    const { queue } = new Simulation(1);
    const [a = -1, b = -1] = [0, 1].map((domain) => queue.add(domain, { weight: 256, cpus: [0], ratelimitUs }));
    assert.deepEqual([queue.enter(a, 0), queue.enter(b, 0)], [true, false]);
    queue.report(a, 1000, 1000);
    assert.equal(queue.memory.unit(a, 'state'), UnitState.RUNNING);
    queue.report(a, 1000, 2000, true);
    assert.deepEqual([queue.memory.unit(a, 'state'), queue.enter(b, 2000)], [UnitState.WAITING, true]);
  });

  it('keeps every processor busy and every vCPU where it belongs, whatever is pinned where', () => {
    for (let seed = 1; seed <= 8; seed++) {
      let x = seed;
      const random = (below: number): number => (x = (x * 48271) % 2147483647) % below;
      const host = new Simulation(3);
      for (let i = 0; i < 7; i++) {
        const mask = 1 + random(7);
        const [on, off] = [1 + random(40), 1 + random(40)];
        const busy = (now: number): boolean => (now / STEP) % (on + off) < on;
        host.add(
          i % 3,
          1 + random(1000),
          host.cpus.filter((cpu) => (mask >>> cpu) & 1),
          busy,
        );
      }
      host.queue.setCap(2, random(200));
      for (let round = 0; round < 20; round++) {
        host.run(0.05);
        const { unit } = host.guests[random(7)] as Guest;
        host.queue.place(unit, { weight: 1 + random(1000), cpus: [random(3)], ratelimitUs });
        if (round === 10) {
          const [gone] = host.guests.splice(random(7), 1);
          host.queue.remove(gone?.unit ?? -1);
          host.add(0);
        }
      }
      assert.equal(host.wasted, 0);
    }
  });
});
