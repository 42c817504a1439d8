/**
 * What all threads of a host share beside the domains' memories: domain 0's pending events, the free memory and the log levels. One
 * SharedArrayBuffer; vCPU threads set bits and notify, the main thread drains.
 */
import type { Port } from '../abi/numbers.ts';
import type { LogThresholds } from './log-ring.ts';
import type { FreePages } from './reservation.ts';

const DOM0_PORTS = 65536;
const PENDING_WORDS = DOM0_PORTS / 32;
const SELECTOR_WORDS = PENDING_WORDS / 32;
const WAKE = 0;
const FREE_PAGES = 1;
const LOG_LEVEL = 2;
const GUEST_LOG_LEVEL = 3;
const SELECTOR = 16;
const PENDING = SELECTOR + SELECTOR_WORDS;
/** A byte for each port: how many of its next events wake nobody. */
const IGNORED = PENDING + PENDING_WORDS;

export const MAX_DOM0_PORT = DOM0_PORTS - 1;

export class HostState implements FreePages {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly #ignored: Int8Array;
  /** The word to wait on for events: it changes with every one. */
  readonly wakeIndex = WAKE;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(IGNORED * 4 + DOM0_PORTS)) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, IGNORED);
    this.#ignored = new Int8Array(buffer, IGNORED * 4);
  }

  // --- domain 0's event channels ----------------------------------------------------------------------------------

  ignore(port: Port, events: number): void {
    Atomics.store(this.#ignored, port, events);
  }

  raise(port: Port): void {
    if (Atomics.load(this.#ignored, port) > 0 && Atomics.sub(this.#ignored, port, 1) > 0) return;
    const word = port >>> 5;
    const bit = 1 << (port & 31);
    if ((Atomics.or(this.words, PENDING + word, bit) & bit) !== 0) return;
    const selected = 1 << (word & 31);
    if ((Atomics.or(this.words, SELECTOR + (word >>> 5), selected) & selected) !== 0) return;
    Atomics.add(this.words, WAKE, 1);
    Atomics.notify(this.words, WAKE);
  }

  /** Takes all pending ports, lowest first. */
  drain(onPort: (port: Port) => void): void {
    for (let group = 0; group < SELECTOR_WORDS; group++) {
      let selector = Atomics.exchange(this.words, SELECTOR + group, 0);
      while (selector !== 0) {
        const low = 31 - Math.clz32(selector & -selector);
        selector &= selector - 1;
        const word = group * 32 + low;
        let pending = Atomics.exchange(this.words, PENDING + word, 0);
        while (pending !== 0) {
          onPort(word * 32 + 31 - Math.clz32(pending & -pending));
          pending &= pending - 1;
        }
      }
    }
  }

  // --- log levels -------------------------------------------------------------------------------------------------

  /** `xl set-parameters` may change them at any time. */
  get thresholds(): LogThresholds {
    return { xen: Atomics.load(this.words, LOG_LEVEL), guest: Atomics.load(this.words, GUEST_LOG_LEVEL) };
  }

  set thresholds({ xen, guest }: LogThresholds) {
    Atomics.store(this.words, LOG_LEVEL, xen);
    Atomics.store(this.words, GUEST_LOG_LEVEL, guest);
  }

  // --- memory -----------------------------------------------------------------------------------------------------

  get freePages(): number {
    return Atomics.load(this.words, FREE_PAGES);
  }

  claimPages(count: number): boolean {
    for (;;) {
      const free = Atomics.load(this.words, FREE_PAGES);
      if (count > free) return false;
      if (Atomics.compareExchange(this.words, FREE_PAGES, free, free - count) === free) return true;
    }
  }

  releasePages(count: number): void {
    Atomics.add(this.words, FREE_PAGES, count);
  }
}
