/** How long somebody is waited for who says nothing. */

/** Longer than a guest gets to suspend, during which nothing is sent. */
export const STALLED_MS = 180_000;

export class Patience {
  readonly #milliseconds: number;
  readonly #onEnd: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, onEnd: () => void) {
    this.#milliseconds = milliseconds;
    this.#onEnd = onEnd;
  }

  /** The wait begins, or begins anew. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onEnd, this.#milliseconds);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
