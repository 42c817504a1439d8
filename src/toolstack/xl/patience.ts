/** How long somebody is waited for who says nothing. */

/** Longer than a guest gets to suspend, during which nothing is sent. */
export const STALLED_MS = 180_000;
const LONGEST_SECONDS = 86_400;

/** `XENOLITH_MIGRATE_PATIENCE`, in seconds, or the usual. */
export function stalledMs({ XENOLITH_MIGRATE_PATIENCE: text = '' }: NodeJS.ProcessEnv): number {
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= LONGEST_SECONDS ? seconds * 1000 : STALLED_MS;
}

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
