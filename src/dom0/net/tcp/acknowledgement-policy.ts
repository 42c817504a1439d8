/** When to acknowledge (RFC 9293, section 3.8.6.3; RFC 5681, section 4.2): at once, with the next segment that goes anyway, or a little later. Times in milliseconds. */

const DELAY = 40;
/** At the begin of a connection everything is acknowledged at once, as Linux does: a peer that is slow to start waits for it. */
const QUICK = 16;

export class AcknowledgementPolicy {
  /** One is to go now. */
  due = false;
  /** One is to go then; Infinity when none waits. */
  deadline = Infinity;
  #pending = 0;
  #quick = QUICK;

  now(): void {
    this.due = true;
  }

  /** Bytes have been taken that nobody has acknowledged yet. */
  taken(bytes: number, mss: number, now: number): void {
    this.#pending += bytes;
    if (this.#pending === 0) return;
    if (this.#pending >= 2 * mss || this.#quick > 0) this.due = true;
    else if (this.deadline === Infinity) this.deadline = now + DELAY;
  }

  /** Every segment that goes acknowledges. */
  sent(): void {
    if (this.#quick > 0 && this.#pending > 0) this.#quick -= 1;
    this.due = false;
    this.#pending = 0;
    this.deadline = Infinity;
  }

  ring(now: number): void {
    if (this.deadline > now) return;
    this.deadline = Infinity;
    this.due = true;
    // Who waits for the delayed one talks and listens in turns.
    this.#quick = Math.max(this.#quick, 1);
  }
}
