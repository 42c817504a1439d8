/**
 * How much a guest may send: `rate=` of a vif, in xenstore `BYTES,MICROSECONDS` for the bytes of each interval. After Linux' netback
 * (drivers/net/xen-netback/netback.c, tx_credit_exceeded; xenbus.c, xen_net_read_rate).
 */

/** Room for one largest packet at least, as tx_add_credit says. */
const LEAST_BURST = 131072;

export interface Rate {
  readonly bytes: number;
  readonly usecs: number;
}

const MAX_U32 = 0xffffffff;

/** Undefined: no limit; also for a text that makes no sense, as there. */
export function parseRate(text: string | undefined): Rate | undefined {
  const [, bytes, usecs] = /^\s*(\d{1,20}),(\d{1,10})$/.exec(text ?? '') ?? [];
  if (bytes === undefined || usecs === undefined) return undefined;
  const rate = { bytes: Math.min(Number(bytes), MAX_U32), usecs: Number(usecs) };
  return rate.bytes === 0 || rate.usecs > MAX_U32 ? undefined : rate;
}

export class Credit {
  readonly #rate: Rate | undefined;
  readonly #now: () => number;
  #left: number;
  #windowStart: number;

  /** `now`: milliseconds. */
  constructor(rate: Rate | undefined, now: () => number) {
    // Without an interval there is nothing to wait for, so no limit either.
    this.#rate = rate === undefined || rate.usecs === 0 ? undefined : rate;
    this.#now = now;
    this.#left = rate?.bytes ?? 0;
    this.#windowStart = now();
  }

  /** 0: the packet may be sent, and is counted. Else the milliseconds after which to ask again. */
  take(size: number): number {
    const rate = this.#rate;
    if (rate === undefined) return 0;
    const interval = rate.usecs / 1000;
    const now = this.#now();
    if (size > this.#left && now >= this.#windowStart + interval) {
      // A packet that is larger than the credit of one interval saves up for it.
      const burst = Math.max(LEAST_BURST, rate.bytes);
      this.#left = Math.min(this.#left + rate.bytes, burst);
      this.#windowStart = now;
    }
    if (size > this.#left) return Math.max(this.#windowStart + interval - now, 1);
    this.#left -= size;
    return 0;
  }
}
