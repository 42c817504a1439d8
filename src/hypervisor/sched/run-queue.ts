/**
 * Which vCPU runs on which of the host's processors, after Xen's credit2 (xen/common/sched/credit2.c). A vCPU's thread enters before it runs its guest, and
 * runs when it has got a processor; it reports at the end of each slice and leaves when the guest has nothing to do. While there are processors for all, that is all there
 * is to it. Otherwise whoever has the most credit runs: running burns it, the faster the smaller the weight, and when nobody has any all get some.
 * A domain with a cap has a budget for each period, and its vCPUs are parked when that is used up.
 *
 * The queue is in shared memory and belongs to no thread: whoever comes by does what is due, under one lock. Time is handed in.
 */
import { MAX_UNITS, type RunQueueMemory, UnitState } from './run-queue-memory.ts';

const NS_PER_MS = 1e6;
const NS_PER_US = 1000;
/** CSCHED2_CREDIT_INIT: of the largest weight, time that it may run before the others are its equals again. */
const CREDIT = 10.5 * NS_PER_MS;
/** CSCHED2_BDGT_REPL_PERIOD */
export const CAP_PERIOD = 10 * NS_PER_MS;
/** How much more credit somebody must have to take a processor away: changing over wakes a thread, so equals take turns of twice that. */
const MARGIN = 2 * NS_PER_MS;
const MAIN_THREAD = 1;
const holder = (unit: number): number => 2 + unit;

/** What the toolstack sets for a vCPU. */
export interface UnitPlacement {
  readonly weight: number;
  /** One at least. */
  readonly cpus: readonly number[];
  /** How long a vCPU runs at least before another takes its processor. */
  readonly ratelimitUs: number;
}

export class RunQueue {
  readonly memory: RunQueueMemory;
  /** Whom to wake when the lock is free again: one that wakes before would take the holder's processor and wait for the lock there. */
  readonly #sleepers: number[] = [];

  constructor(memory: RunQueueMemory) {
    this.memory = memory;
  }

  // --- the main thread ----------------------------------------------------------------------------------------------

  /** A vCPU's thread begins. Undefined: there is no room. `domain` is below MAX_UNITS, and the same for all of a domain's vCPUs. */
  add(domain: number, placement: UnitPlacement): number | undefined {
    return this.#locked(MAIN_THREAD, () => {
      const { memory } = this;
      let unit = 0;
      while (memory.unit(unit, 'state') !== UnitState.FREE) unit++;
      if (unit >= MAX_UNITS) return undefined;
      memory.setHeader('limit', Math.max(memory.header('limit'), unit + 1));
      memory.setUnit(unit, 'state', UnitState.RESTING);
      memory.setUnit(unit, 'cpu', placement.cpus[0] ?? 0);
      memory.setUnit(unit, 'domain', domain);
      memory.setTime(unit, 'credit', CREDIT);
      memory.setTime(unit, 'ran', 0);
      this.#set(unit, placement);
      return unit;
    });
  }

  place(unit: number, placement: UnitPlacement): void {
    this.#locked(MAIN_THREAD, () => {
      this.#set(unit, placement);
      this.#dispatch();
    });
  }

  /** In hundredths of a processor; 0: no cap. */
  setCap(domain: number, percent: number): void {
    this.#locked(MAIN_THREAD, () => {
      const share = (percent / 100) * CAP_PERIOD;
      this.memory.setDomain(domain, 'cap', share);
      this.memory.setDomain(domain, 'budget', share);
      this.#units((unit) => {
        if (this.memory.unit(unit, 'domain') === domain && this.memory.unit(unit, 'state') === UnitState.PARKED)
          this.#turnTo(unit, UnitState.RESTING);
      });
    });
  }

  /** Its thread waits no longer and looks what it is to do: the domain ends. */
  rouse(unit: number): void {
    this.#locked(MAIN_THREAD, () => this.#vacate(unit));
  }

  /** Its thread has ended, perhaps while it held the lock. */
  ended(unit: number): void {
    this.memory.lock.breakHeldBy(holder(unit));
    this.rouse(unit);
  }

  /** Nothing will run there any more. */
  remove(unit: number): void {
    const { memory } = this;
    this.#locked(MAIN_THREAD, () => {
      this.#vacate(unit);
      memory.setUnit(unit, 'state', UnitState.FREE);
      while (memory.header('limit') > 0 && memory.unit(memory.header('limit') - 1, 'state') === UnitState.FREE)
        memory.setHeader('limit', memory.header('limit') - 1);
      this.#findMaxWeight();
      this.#dispatch();
    });
  }

  // --- the vCPU's own thread ----------------------------------------------------------------------------------------

  /** It has something to do. True: it runs. Otherwise it is to sleep while its state is what it is now, up to `untilFilled`. */
  enter(unit: number, now: number): boolean {
    return this.#locked(holder(unit), () => {
      if (this.#park(unit, now)) return false;
      if (this.runs(unit)) return true;
      // The usual case: nobody else waits.
      const cpu = this.memory.header('waiting') === 0 ? this.#placeFor(unit) : undefined;
      if (cpu !== undefined) {
        this.#take(unit, cpu);
        return true;
      }
      this.#turnTo(unit, UnitState.WAITING);
      this.#dispatch();
      return this.runs(unit);
    });
  }

  runs(unit: number): boolean {
    return this.memory.unit(unit, 'state') === UnitState.RUNNING;
  }

  /** Reading it takes no lock: does the thread have to report soon? */
  watched(unit: number): boolean {
    return this.memory.header('waiting') > 0 || this.memory.domain(this.memory.unit(unit, 'domain'), 'cap') > 0;
  }

  /** It ran for so long since its last report, and would go on; with `yields` it lets any other go first. */
  report(unit: number, ran: number, now: number, yields = false): void {
    this.#locked(holder(unit), () => {
      const { memory } = this;
      this.#charge(unit, ran);
      if (!this.runs(unit) || this.#park(unit, now)) return;
      const cpu = memory.unit(unit, 'cpu');
      const next = this.#best((other) => memory.allowed(other, cpu));
      const misplaced = !memory.allowed(unit, cpu);
      if (next === undefined && !misplaced) return;
      if (!misplaced && !yields && !this.#mayTake(next ?? unit, unit)) return;
      memory.setRunner(cpu, -1);
      this.#turnTo(unit, UnitState.WAITING);
      if (next !== undefined) this.#run(next, cpu);
      this.#dispatch();
    });
  }

  /** It ran for so long since its last report, and has nothing to do now. */
  leave(unit: number, ran: number): void {
    this.#locked(holder(unit), () => {
      this.#charge(unit, ran);
      this.#vacate(unit);
    });
  }

  /** When a parked vCPU's domain may run again; Infinity for others. */
  untilFilled(unit: number): number {
    const { memory } = this;
    if (memory.unit(unit, 'state') !== UnitState.PARKED) return Infinity;
    const domain = memory.unit(unit, 'domain');
    const periods = Math.floor(-memory.domain(domain, 'budget') / memory.domain(domain, 'cap')) + 1;
    return memory.domain(domain, 'filled') + periods * CAP_PERIOD;
  }

  // --- under the lock -----------------------------------------------------------------------------------------------

  #set(unit: number, { weight, cpus, ratelimitUs }: UnitPlacement): void {
    this.memory.setUnit(unit, 'weight', weight);
    this.memory.setUnit(unit, 'ratelimitUs', ratelimitUs);
    this.memory.allow(unit, cpus);
    this.#findMaxWeight();
  }

  #findMaxWeight(): void {
    let most = 1;
    this.#units((unit) => (most = Math.max(most, this.memory.unit(unit, 'weight'))));
    this.memory.setHeader('maxWeight', most);
  }

  #charge(unit: number, ran: number): void {
    const { memory } = this;
    const domain = memory.unit(unit, 'domain');
    const burnt = (ran * memory.header('maxWeight')) / memory.unit(unit, 'weight');
    const left = memory.time(unit, 'credit') - burnt;
    // Where nobody waits, nobody is owed anything.
    memory.setTime(unit, 'credit', left < 0 && memory.header('waiting') === 0 ? CREDIT : left);
    memory.setTime(unit, 'slice', memory.time(unit, 'slice') + ran);
    memory.setTime(unit, 'ran', memory.time(unit, 'ran') + ran);
    memory.setDomain(domain, 'budget', memory.domain(domain, 'budget') - ran);
  }

  /** True: its domain has used up what the cap gives it. */
  #park(unit: number, now: number): boolean {
    const { memory } = this;
    const domain = memory.unit(unit, 'domain');
    const cap = memory.domain(domain, 'cap');
    if (cap === 0) return false;
    const periods = Math.floor((now - memory.domain(domain, 'filled')) / CAP_PERIOD);
    if (periods > 0) {
      // What was too much is taken from the next periods; what was not used is lost.
      memory.setDomain(domain, 'budget', Math.min(cap, memory.domain(domain, 'budget') + periods * cap));
      memory.setDomain(domain, 'filled', memory.domain(domain, 'filled') + periods * CAP_PERIOD);
    }
    if (memory.domain(domain, 'budget') > 0) return false;
    this.#vacate(unit);
    this.#turnTo(unit, UnitState.PARKED);
    return true;
  }

  /** It gives back its processor, if it has one, and rests. */
  #vacate(unit: number): void {
    const { memory } = this;
    const runs = this.runs(unit);
    if (runs) memory.setRunner(memory.unit(unit, 'cpu'), -1);
    this.#turnTo(unit, UnitState.RESTING);
    if (runs) this.#dispatch();
  }

  #turnTo(unit: number, state: UnitState): void {
    const { memory } = this;
    const before = memory.unit(unit, 'state');
    const waited = before === UnitState.WAITING ? 1 : 0;
    const waits = state === UnitState.WAITING ? 1 : 0;
    memory.setHeader('waiting', memory.header('waiting') - waited + waits);
    Atomics.store(memory.words, memory.stateIndex(unit), state);
    if (before === UnitState.WAITING || before === UnitState.PARKED) this.#sleepers.push(unit);
  }

  #run(unit: number, cpu: number): void {
    this.memory.setRunner(cpu, unit);
    this.memory.setUnit(unit, 'cpu', cpu);
    this.memory.setTime(unit, 'slice', 0);
    this.#turnTo(unit, UnitState.RUNNING);
  }

  /** Free processors go to those who wait, the richest first. */
  #dispatch(): void {
    const { memory } = this;
    while (memory.header('waiting') > 0) {
      const next = this.#best((unit) => this.#placeFor(unit) !== undefined);
      const cpu = next === undefined ? undefined : this.#placeFor(next);
      if (next === undefined || cpu === undefined) return;
      this.#take(next, cpu);
    }
  }

  #take(unit: number, cpu: number): void {
    const from = this.memory.runner(cpu);
    // Somebody who could as well be elsewhere.
    if (from >= 0) this.#move(from);
    this.#run(unit, cpu);
  }

  /** A free processor for the unit, or one whose unit has another free one; rather the one where it was last. */
  #placeFor(unit: number): number | undefined {
    const { memory } = this;
    const last = memory.unit(unit, 'cpu');
    if (memory.runner(last) < 0 && memory.allowed(unit, last)) return last;
    let movable: number | undefined;
    for (let cpu = 0; cpu < memory.nrCpus; cpu++) {
      if (!memory.allowed(unit, cpu)) continue;
      const runner = memory.runner(cpu);
      if (runner < 0) return cpu;
      if (this.#freeFor(runner) !== undefined) movable ??= cpu;
    }
    return movable;
  }

  #freeFor(unit: number): number | undefined {
    const { memory } = this;
    for (let cpu = 0; cpu < memory.nrCpus; cpu++) if (memory.runner(cpu) < 0 && memory.allowed(unit, cpu)) return cpu;
    return undefined;
  }

  #move(unit: number): void {
    const to = this.#freeFor(unit);
    if (to === undefined) throw new Error('run queue: a unit is moved and has nowhere to go');
    this.memory.setRunner(to, unit);
    this.memory.setUnit(unit, 'cpu', to);
  }

  /** Of those who wait and fit, the one with the most credit. */
  #best(fits: (unit: number) => boolean): number | undefined {
    const { memory } = this;
    if (memory.header('waiting') === 0) return undefined;
    let best: number | undefined;
    this.#units((unit) => {
      if (memory.unit(unit, 'state') !== UnitState.WAITING || !fits(unit)) return;
      if (best === undefined || memory.time(unit, 'credit') > memory.time(best, 'credit')) best = unit;
    });
    return best;
  }

  /** Whether the one who waits takes the other's processor from it. */
  #mayTake(waiting: number, running: number): boolean {
    const { memory } = this;
    const credit = (unit: number): number => memory.time(unit, 'credit');
    const richer = credit(waiting) > credit(running) ? waiting : running;
    if (credit(richer) <= 0) this.#reset(richer);
    const longEnough = memory.time(running, 'slice') >= memory.unit(running, 'ratelimitUs') * NS_PER_US;
    return longEnough && credit(waiting) > credit(running) + MARGIN;
  }

  /**
   * All who could run where the unit can get so much credit that it has some. Who rests saves up no more than the others begin with; who does not may
   * have more than the unit has, and keeps that within bounds.
   */
  #reset(unit: number): void {
    const { memory } = this;
    const more = CREDIT * (1 + Math.floor(-memory.time(unit, 'credit') / CREDIT));
    this.#units((other) => {
      if (!memory.overlap(unit, other)) return;
      const most = memory.unit(other, 'state') === UnitState.RESTING ? CREDIT : 2 * CREDIT;
      memory.setTime(other, 'credit', Math.min(most, memory.time(other, 'credit') + more));
    });
  }

  #units(visit: (unit: number) => void): void {
    const { memory } = this;
    const limit = memory.header('limit');
    for (let unit = 0; unit < limit; unit++) if (memory.unit(unit, 'state') !== UnitState.FREE) visit(unit);
  }

  #locked<T>(thread: number, body: () => T): T {
    this.memory.lock.acquire(thread);
    try {
      return body();
    } finally {
      this.memory.lock.release();
      for (let unit = this.#sleepers.pop(); unit !== undefined; unit = this.#sleepers.pop())
        Atomics.notify(this.memory.words, this.memory.stateIndex(unit));
    }
  }
}
