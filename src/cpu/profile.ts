/**
 * What tells a person where a guest spends its instructions: samples of RIP, one for each so many instructions, and counters. A vCPU's thread runs no events
 * and is asked nothing; it leaves these in the domain's memory, and whoever wants a profile reads them there.
 */
import { Profile, SampleKind } from './state-layout.ts';

/** Instructions between two samples. */
export const SAMPLE_INTERVAL = 50_000;

const EXIT_KINDS = (Profile.taken - Profile.exits) / 4;

/** How the translator stands. */
export interface TranslatorCounts {
  readonly regions: number;
  readonly waiting: number;
  readonly compiled: number;
  readonly dropped: number;
}

export class ProfileWriter {
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #doubles: Float64Array<ArrayBufferLike>;
  readonly #at: number;
  #left = SAMPLE_INTERVAL;

  /** `at` is a multiple of 8. */
  constructor(memory: ArrayBufferLike, at: number) {
    this.#words = new Int32Array(memory);
    this.#doubles = new Float64Array(memory);
    this.#at = at;
  }

  /** Instructions that may run before the next sample, at least one. */
  get untilSample(): number {
    return Math.max(1, this.#left);
  }

  get isDue(): boolean {
    return this.#left <= 0;
  }

  retired(instructions: number): void {
    this.#left -= instructions;
  }

  exit(exit: number): void {
    const at = (this.#at + Profile.exits + exit * 4) >>> 2;
    this.#words[at] = (this.#words[at] ?? 0) + 1;
  }

  sample(rip: number, kind: { readonly translated: boolean; readonly user: boolean }): void {
    // What was overdue counts for the next one, so that the mean interval is right.
    this.#left += SAMPLE_INTERVAL;
    const takenAt = (this.#at + Profile.taken) >>> 2;
    const taken = this.#words[takenAt] ?? 0;
    const at = this.#at + ringOffset(taken);
    this.#doubles[(at + Profile.rip) >>> 3] = rip;
    this.#words[(at + Profile.kind) >>> 2] =
      (kind.translated ? SampleKind.translated : 0) | (kind.user ? SampleKind.user : 0);
    // Atomic, so that a reader who sees the count sees the sample.
    Atomics.store(this.#words, takenAt, taken + 1);
  }

  translator({ regions, waiting, compiled, dropped }: TranslatorCounts): void {
    const counts = { regions, waiting, compiled, dropped };
    for (const name of ['regions', 'waiting', 'compiled', 'dropped'] as const)
      this.#words[(this.#at + Profile[name]) >>> 2] = counts[name];
  }
}

export interface Sample {
  readonly rip: number;
  readonly translated: boolean;
  readonly user: boolean;
}

export interface ProfileReading extends TranslatorCounts {
  /** By Exit; modulo 2^32, as all counts here. */
  readonly exits: readonly number[];
  readonly taken: number;
  /** Those after `since`, as far as the ring still has them, oldest first. */
  readonly samples: readonly Sample[];
}

/** From any thread. Without `since`, a count that an earlier reading gave as `taken`, there are no samples. */
export function readProfile(memory: ArrayBufferLike, at: number, since?: number): ProfileReading {
  const words = new Int32Array(memory, at, Profile.size >>> 2);
  const doubles = new Float64Array(memory, at, Profile.size >>> 3);
  const word = (offset: number): number => (words[offset >>> 2] ?? 0) >>> 0;
  const takenNow = (): number => Atomics.load(words, Profile.taken >>> 2) >>> 0;
  const taken = takenNow();
  const fresh = since === undefined ? 0 : Math.min((taken - since) >>> 0, Profile.entries);
  const samples: Sample[] = [];
  for (let n = fresh; n > 0; n--) {
    const entry = ringOffset((taken - n) >>> 0);
    const kind = word(entry + Profile.kind);
    samples.push({
      rip: doubles[(entry + Profile.rip) >>> 3] ?? 0,
      translated: (kind & SampleKind.translated) !== 0,
      user: (kind & SampleKind.user) !== 0,
    });
  }
  // The vCPU went on meanwhile; what it may have written over, and the one it may be at, are no samples.
  const over = fresh + ((takenNow() - taken) >>> 0) + 1 - Profile.entries;
  return {
    exits: Array.from({ length: EXIT_KINDS }, (_, exit) => word(Profile.exits + exit * 4)),
    regions: word(Profile.regions),
    waiting: word(Profile.waiting),
    compiled: word(Profile.compiled),
    dropped: word(Profile.dropped),
    taken,
    samples: over > 0 ? samples.slice(over) : samples,
  };
}

/** A linear address as profilers and kernels write it: 64 bits, though a number here has a sign. */
export function addressText(va: number): string {
  const low = (va >>> 0).toString(16);
  const high = Math.floor(va / 2 ** 32) >>> 0;
  return high === 0 ? low : high.toString(16) + low.padStart(8, '0');
}

function ringOffset(count: number): number {
  return Profile.ring + (count & (Profile.entries - 1)) * Profile.entrySize;
}
