/**
 * How much may be on its way (RFC 5681, RFC 6582). The link below is memory and pushes back instead of losing, so a loss is rare: the first
 * window is a whole large segment, and growth is not held back by acknowledgements that cover much.
 */

const FIRST_WINDOW = 64 * 1024;
/** Nothing is gained beyond; send buffers are smaller. */
const MOST = 4 * 1024 * 1024;

export class CongestionWindow {
  readonly #mss: number;
  size: number;
  #threshold = MOST;

  constructor(mss: number) {
    this.#mss = mss;
    this.size = Math.max(FIRST_WINDOW, 10 * mss);
  }

  /** So much more was acknowledged, outside of recovery. */
  acknowledged(bytes: number): void {
    if (this.size < this.#threshold) this.size += bytes;
    else this.size += Math.max(1, Math.floor((this.#mss * Math.min(bytes, this.size)) / this.size));
    this.size = Math.min(this.size, MOST);
  }

  /** A segment is taken for lost while so much is on its way. */
  lost(inFlight: number): void {
    this.#threshold = Math.max(Math.floor(inFlight / 2), 2 * this.#mss);
    this.size = this.#threshold;
  }

  /** Recovery is over. */
  recovered(): void {
    this.size = this.#threshold;
  }

  /** The retransmission timer ran out. */
  timedOut(inFlight: number): void {
    this.#threshold = Math.max(Math.floor(inFlight / 2), 2 * this.#mss);
    this.size = this.#mss;
  }
}
