/** Addresses that a guest was told of: which names have them, and until when. A guest that asks for much gets the oldest forgotten. */
import type { Timers } from '../timers.ts';

/** A program may look up a name long before it connects, whatever the answer says. */
const LEAST_MS = 5 * 60_000;
const MOST_MS = 24 * 60 * 60_000;
const MOST_ADDRESSES = 1024;
/** Of one address: hosts of many names share addresses. */
const MOST_NAMES = 32;
/** Of one answer. */
const MOST_OF_ONE = 64;

export class OpenedAddresses {
  readonly #timers: Timers;
  /** By address, the longest unheard of first; names with the times until which they are known to have it. */
  readonly #known = new Map<string, Map<string, number>>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get size(): number {
    return this.#known.size;
  }

  add(name: string, found: readonly { readonly address: Uint8Array; readonly ttl: number }[]): void {
    for (const { address, ttl } of found.slice(0, MOST_OF_ONE)) {
      const key = address.join('.');
      const names = this.#known.get(key) ?? new Map<string, number>();
      const until = this.#timers.now() + Math.min(Math.max(ttl * 1000, LEAST_MS), MOST_MS);
      const before = names.get(name) ?? 0;
      names.delete(name);
      names.set(name, Math.max(before, until));
      this.#known.delete(key);
      this.#known.set(key, names);
      forgetFirst(names, MOST_NAMES);
      forgetFirst(this.#known, MOST_ADDRESSES);
    }
  }

  /** Names that have the address now. */
  *namesOf(address: Uint8Array): Generator<string> {
    const now = this.#timers.now();
    for (const [name, until] of this.#known.get(address.join('.')) ?? []) if (until > now) yield name;
  }
}

function forgetFirst(map: Map<string, unknown>, most: number): void {
  const [first] = map.keys();
  if (map.size > most && first !== undefined) map.delete(first);
}
