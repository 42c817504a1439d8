/** The run queue as one vCPU's thread uses it. */
import type { Clock } from '../host-services.ts';
import { UnitState } from './run-queue-memory.ts';
import type { RunQueue } from './run-queue.ts';

const NS_PER_MS = 1e6;

/** How long a vCPU runs before it reports: while it is alone, and while others wait or its domain has a cap. */
const LONG_TURN = 10 * NS_PER_MS;
const SHORT_TURN = 0.5 * NS_PER_MS;

/** What a vCPU's loop asks for before it runs its guest, and between its budgets, and tells when the guest has nothing to do. */
export interface Schedule {
  /** Is there a processor for it? */
  enter(): boolean;
  /** May it run another budget before others are looked at? */
  goesOn(): boolean;
  leave(): void;
}

export class VcpuSchedule implements Schedule {
  readonly #queue: RunQueue;
  readonly #unit: number;
  readonly #clock: Clock;
  #since = 0;
  /** The thread's processor time up to the last report. */
  #used: number;

  constructor(queue: RunQueue, unit: number, clock: Clock) {
    this.#queue = queue;
    this.#unit = unit;
    this.#clock = clock;
    this.#used = this.#time();
  }

  enter(): boolean {
    this.#since = this.#clock.now();
    return this.#queue.enter(this.#unit, this.#since);
  }

  goesOn(): boolean {
    return this.#clock.now() - this.#since < (this.#queue.watched(this.#unit) ? SHORT_TURN : LONG_TURN);
  }

  /** At the end of a turn. */
  report(yields: boolean): void {
    this.#queue.report(this.#unit, this.#ran(), this.#clock.now(), yields);
  }

  /** It has a processor. */
  get runs(): boolean {
    return this.#queue.runs(this.#unit);
  }

  leave(): void {
    const ran = this.#ran();
    // To be woken for nothing is no work of the guest's.
    this.#queue.leave(this.#unit, this.runs ? ran : 0);
  }

  /** After `enter` said no: sleeps until it is worth asking again. */
  wait(): void {
    const { memory } = this.#queue;
    const index = memory.stateIndex(this.#unit);
    const state = Atomics.load(memory.words, index);
    if (state !== UnitState.WAITING && state !== UnitState.PARKED) return;
    const until = this.#queue.untilFilled(this.#unit) - this.#clock.now();
    Atomics.wait(memory.words, index, state, until / NS_PER_MS);
  }

  #ran(): number {
    const before = this.#used;
    this.#used = this.#time();
    return this.#used - before;
  }

  /** Processor time where the host can tell it: other programs of the host are not the guest's fault. */
  #time(): number {
    return this.#clock.cpuTime?.() ?? this.#clock.now();
  }
}
