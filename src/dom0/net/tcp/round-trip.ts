/** The retransmission timeout from measured round trips (RFC 6298). Times in milliseconds. */

/** Departs from the RFC's second, as every stack does: Linux' TCP_RTO_MIN. */
const LEAST = 200;
const MOST = 60_000;
const FIRST = 1000;

export class RoundTrip {
  #smoothed: number | undefined;
  #variation = 0;
  #timeout = FIRST;
  #backoff = 0;

  /** One measurement, of a segment that was sent once (Karn's algorithm is the caller's). */
  measured(time: number): void {
    if (this.#smoothed === undefined) {
      this.#smoothed = time;
      this.#variation = time / 2;
    } else {
      this.#variation += (Math.abs(this.#smoothed - time) - this.#variation) / 4;
      this.#smoothed += (time - this.#smoothed) / 8;
    }
    this.#timeout = Math.max(LEAST, this.#smoothed + 4 * this.#variation);
    this.#backoff = 0;
  }

  get timeout(): number {
    return Math.min(this.#timeout * 2 ** this.#backoff, MOST);
  }

  /** How often in a row the timeout has passed. */
  get backoff(): number {
    return this.#backoff;
  }

  timedOut(): void {
    this.#backoff += 1;
  }

  /** Something new was acknowledged. */
  progressed(): void {
    this.#backoff = 0;
  }
}
