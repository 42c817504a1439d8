/** The hypervisor's log: what `xl dmesg` reads. After xen/drivers/char/console.c. */
import type { LogLevel } from './control.ts';

export class LogRing {
  #text = '';
  readonly #size: number;
  readonly #listeners = new Set<(line: string) => void>();

  constructor(size = 16384) {
    this.#size = size;
  }

  append(line: string): void {
    this.#text += `${line}\n`;
    for (const listener of this.#listeners) listener(line);
    // Cut in steps, not at each line: slices of a long string are not free.
    if (this.#text.length > 2 * this.#size) this.#text = this.#text.slice(-this.#size);
  }

  read(): string {
    return this.#text.slice(-this.#size);
  }

  clear(): void {
    this.#text = '';
  }

  /** Hears each line as it comes. Returns what ends that. */
  listen(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** Which levels are kept: options `loglvl` and `guest_loglvl` (docs/misc/xen-command-line.pandoc). */
export interface LogThresholds {
  readonly xen: number;
  readonly guest: number;
}

const severity = {
  error: 0,
  warning: 1,
  info: 2,
  debug: 3,
  guestError: 0,
  guestWarning: 1,
  guestInfo: 2,
  guestDebug: 3,
} as const;
const isGuestLevel = (level: LogLevel): boolean => level.startsWith('guest');

export function isLogged(thresholds: LogThresholds, level: LogLevel): boolean {
  return severity[level] < (isGuestLevel(level) ? thresholds.guest : thresholds.xen);
}

/** A line as it stands in the ring: guests' own lines bring their prefix, `(d1) `. */
export function prefixed(line: string): string {
  return /^\(d\d+\) /.test(line) ? line : `(XEN) ${line}`;
}

/** A guest may say so much at once, and so much over time: its lines cross threads and must not pile up. */
const BURST = 200;
const NS_PER_LINE = 10e6;

export class RateLimit {
  #allowance = BURST;
  #last = 0;
  #suppressed = 0;

  /** False: drop the line. After a pause the number of dropped lines is told by `takeSuppressed`. */
  allow(now: number): boolean {
    this.#allowance = Math.min(BURST, this.#allowance + (now - this.#last) / NS_PER_LINE);
    this.#last = now;
    if (this.#allowance < 1) {
      this.#suppressed++;
      return false;
    }
    this.#allowance--;
    return true;
  }

  takeSuppressed(): number {
    const count = this.#suppressed;
    this.#suppressed = 0;
    return count;
  }
}
