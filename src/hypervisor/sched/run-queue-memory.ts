/** What all threads see of the run queue: one SharedArrayBuffer, guarded by its lock but for the words that are named here as read without it. */
import { SpinLock } from '../spin-lock.ts';

/** vCPUs that the host has threads for, and domains; more than there is memory for. */
export const MAX_UNITS = 4096;

/** Of a vCPU ("unit" in Xen's scheduler). RESTING: it wants no processor; PARKED: its domain has used up its cap. */
export const UnitState = { FREE: 0, RESTING: 1, WAITING: 2, RUNNING: 3, PARKED: 4 } as const;
export type UnitState = (typeof UnitState)[keyof typeof UnitState];

const header = { lock: 0, waiting: 1, limit: 2, maxWeight: 3 } as const;
const HEADER_WORDS = 4;
/** `state` is what a thread sleeps on. */
const unitWords = { state: 0, cpu: 1, weight: 2, domain: 3, ratelimitUs: 4 } as const;
const UNIT_WORDS = 5;
/** In nanoseconds: what is left to spend, what it ran since it got its processor, and in all. */
const unitDoubles = { credit: 0, slice: 1, ran: 2 } as const;
const UNIT_DOUBLES = 3;
/** In nanoseconds: the cap's share of a period (0: no cap), what is left of it, when it was last filled. */
const domainDoubles = { cap: 0, budget: 1, filled: 2 } as const;
const DOMAIN_DOUBLES = 3;

export class RunQueueMemory {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly nrCpus: number;
  readonly lock: SpinLock;
  readonly #doubles: Float64Array;
  readonly #cpusAt: number;
  readonly #unitsAt: number;
  readonly #masksAt: number;
  readonly #maskWords: number;

  constructor(nrCpus: number, buffer?: SharedArrayBuffer) {
    const doubles = MAX_UNITS * (UNIT_DOUBLES + DOMAIN_DOUBLES);
    this.nrCpus = nrCpus;
    this.#maskWords = Math.ceil(nrCpus / 32);
    this.#cpusAt = HEADER_WORDS;
    this.#unitsAt = this.#cpusAt + nrCpus;
    this.#masksAt = this.#unitsAt + MAX_UNITS * UNIT_WORDS;
    const words = this.#masksAt + MAX_UNITS * this.#maskWords;
    this.buffer = buffer ?? new SharedArrayBuffer(doubles * 8 + words * 4);
    this.#doubles = new Float64Array(this.buffer, 0, doubles);
    this.words = new Int32Array(this.buffer, doubles * 8, words);
    this.lock = new SpinLock(this.words, header.lock);
  }

  /** `waiting`: how many units wait for a processor, read without the lock. `limit`: units beyond it are free. */
  header(field: keyof typeof header): number {
    return Atomics.load(this.words, header[field]);
  }

  setHeader(field: keyof typeof header, value: number): void {
    Atomics.store(this.words, header[field], value);
  }

  /** Who runs on a processor; -1 nobody. */
  runner(cpu: number): number {
    return (this.words[this.#cpusAt + cpu] ?? 0) - 1;
  }

  setRunner(cpu: number, unit: number): void {
    this.words[this.#cpusAt + cpu] = unit + 1;
  }

  unit(unit: number, field: keyof typeof unitWords): number {
    return this.words[this.#unitsAt + unit * UNIT_WORDS + unitWords[field]] ?? 0;
  }

  setUnit(unit: number, field: keyof typeof unitWords, value: number): void {
    this.words[this.#unitsAt + unit * UNIT_WORDS + unitWords[field]] = value;
  }

  /** The word that holds a unit's state, for Atomics.wait. */
  stateIndex(unit: number): number {
    return this.#unitsAt + unit * UNIT_WORDS + unitWords.state;
  }

  time(unit: number, field: keyof typeof unitDoubles): number {
    return this.#doubles[unit * UNIT_DOUBLES + unitDoubles[field]] ?? 0;
  }

  setTime(unit: number, field: keyof typeof unitDoubles, value: number): void {
    this.#doubles[unit * UNIT_DOUBLES + unitDoubles[field]] = value;
  }

  domain(domain: number, field: keyof typeof domainDoubles): number {
    return this.#doubles[MAX_UNITS * UNIT_DOUBLES + domain * DOMAIN_DOUBLES + domainDoubles[field]] ?? 0;
  }

  setDomain(domain: number, field: keyof typeof domainDoubles, value: number): void {
    this.#doubles[MAX_UNITS * UNIT_DOUBLES + domain * DOMAIN_DOUBLES + domainDoubles[field]] = value;
  }

  /** May the unit run on this processor? */
  allowed(unit: number, cpu: number): boolean {
    return (((this.words[this.#masksAt + unit * this.#maskWords + (cpu >>> 5)] ?? 0) >>> (cpu & 31)) & 1) !== 0;
  }

  allow(unit: number, cpus: readonly number[]): void {
    const at = this.#masksAt + unit * this.#maskWords;
    this.words.fill(0, at, at + this.#maskWords);
    for (const cpu of cpus) {
      const word = at + (cpu >>> 5);
      this.words[word] = (this.words[word] ?? 0) | (1 << (cpu & 31));
    }
  }

  /** Do the processors of the two have one in common? */
  overlap(a: number, b: number): boolean {
    for (let word = 0; word < this.#maskWords; word++) {
      const first = this.words[this.#masksAt + a * this.#maskWords + word] ?? 0;
      if ((first & (this.words[this.#masksAt + b * this.#maskWords + word] ?? 0)) !== 0) return true;
    }
    return false;
  }
}
