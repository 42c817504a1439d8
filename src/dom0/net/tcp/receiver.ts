/** The receiving half of a connection: what is in order goes on, what comes early waits, and how much may come is decided here. */
import { Reassembly } from './reassembly.ts';
import { seqAdd, seqDiff, type Range } from './segment.ts';

export interface Arrival {
  /** In order, to be handed on. */
  readonly pieces: readonly Uint8Array[];
  /** Something is missing or came twice: the sender should know at once (RFC 5681, section 4.2). */
  readonly irregular: boolean;
  /** The peer's FIN is reached. */
  readonly finished: boolean;
}

export class Receiver {
  /** The next byte that is expected. */
  next: number;
  /** The window as told to the peer ends here; it never moves back (RFC 9293, section 3.8.6). */
  #edge: number;
  #fin: number | undefined;
  #finished = false;
  readonly #early = new Reassembly();

  /** @param next the first sequence number after the SYN */
  constructor(next: number) {
    this.next = next;
    this.#edge = next;
  }

  get finished(): boolean {
    return this.#finished;
  }

  get window(): number {
    return seqDiff(this.#edge, this.next);
  }

  /**
   * RFC 9293, section 3.10.7.4, first table. `length` counts SYN and FIN. A FIN alone needs no room, so a closed window does not keep it
   * out: there are peers that send it instead of probes, and Linux takes it as well.
   */
  acceptable(seq: number, length: number, finOnly: boolean): boolean {
    const from = seqDiff(seq, this.next);
    const window = this.window;
    if (length === 0 || (finOnly && window === 0)) return window === 0 ? from === 0 : from >= 0 && from < window;
    return window > 0 && from < window && from + length > 0;
  }

  arrive(seq: number, payload: Uint8Array, fin: boolean): Arrival {
    const offset = seqDiff(seq, this.next);
    if (fin && this.#fin === undefined) this.#fin = seqAdd(seq, payload.length);
    const skip = Math.max(-offset, 0);
    const from = Math.max(offset, 0);
    // What lies beyond the peer's own FIN or beyond the window is not taken.
    const most = Math.min(
      this.window,
      this.#fin === undefined ? 0x7fffffff : Math.max(seqDiff(this.#fin, this.next), 0),
    );
    const end = Math.min(payload.length, skip + Math.max(most - from, 0));
    const bytes = skip === 0 && end === payload.length ? payload : payload.subarray(skip, Math.max(end, skip));
    let pieces: Uint8Array[] = [];
    let irregular = skip > 0 || end < payload.length;
    if (bytes.length > 0 && from === 0 && this.#early.empty) {
      pieces = [bytes];
    } else if (bytes.length > 0) {
      irregular = true;
      if (from === 0) pieces = [bytes, ...this.#early.take(seqAdd(this.next, bytes.length))];
      else this.#early.add(seqAdd(this.next, from), bytes);
    }
    for (const piece of pieces) this.next = seqAdd(this.next, piece.length);
    const finished = !this.#finished && this.#fin === this.next;
    if (finished) {
      this.#finished = true;
      this.next = seqAdd(this.next, 1);
      this.#early.clear();
      if (this.window < 0) this.#edge = this.next;
    }
    return { pieces, irregular, finished };
  }

  /** Moves the edge to where it may be by now. A gain of less than `worth` is not told (RFC 9293, section 3.8.6.2.2). */
  offer(room: number, worth: number, scale: number): void {
    if (this.#finished) return;
    const gain = this.gain(room, scale);
    if (gain >= worth) this.#edge = seqAdd(this.#edge, gain);
  }

  /** By how much the window could grow. */
  gain(room: number, scale: number): number {
    const whole = Math.floor(Math.max(room, 0) / 2 ** scale) * 2 ** scale;
    return whole - this.window;
  }

  sackRanges(most: number): readonly Range[] | undefined {
    return this.#early.empty ? undefined : this.#early.ranges(most);
  }
}
