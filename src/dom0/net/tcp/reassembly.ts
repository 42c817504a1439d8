/** What arrived before its turn, in order of sequence, without overlaps. */
import { seqAdd, seqDiff, seqMax, type Range } from './segment.ts';

interface Held {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** More pieces than that are a game somebody plays; what is dropped is sent again. */
const MAX_PIECES = 256;

export class Reassembly {
  #held: Held[] = [];
  #size = 0;
  /** Where the latest arrival went, for the first block of a SACK option (RFC 2018, section 4). */
  #latest = 0;

  get size(): number {
    return this.#size;
  }

  get empty(): boolean {
    return this.#held.length === 0;
  }

  /** Takes what it does not have yet. The caller has cut it to the window. */
  add(start: number, bytes: Uint8Array): void {
    this.#latest = start;
    const end = seqAdd(start, bytes.length);
    let at = start;
    for (let i = 0; seqDiff(end, at) > 0; i++) {
      const held = this.#held[i];
      const gapEnd = held === undefined || seqDiff(held.start, end) > 0 ? end : held.start;
      const gap = seqDiff(gapEnd, at);
      if (gap > 0) {
        if (this.#held.length >= MAX_PIECES) return;
        // A copy: the bytes may be a small part of a large frame.
        const from = seqDiff(at, start);
        this.#held.splice(i, 0, { start: at, bytes: bytes.slice(from, from + gap) });
        this.#size += gap;
        i += 1;
      }
      if (held === undefined) return;
      at = seqMax(at, endOf(held));
    }
  }

  /** What follows on `next` without a gap, taken out. */
  take(next: number): Uint8Array[] {
    const result: Uint8Array[] = [];
    let at = next;
    for (let held = this.#held[0]; held !== undefined && seqDiff(held.start, at) <= 0; held = this.#held[0]) {
      this.#held.shift();
      this.#size -= held.bytes.length;
      const old = seqDiff(at, held.start);
      if (old >= held.bytes.length) continue;
      result.push(held.bytes.subarray(old));
      at = endOf(held);
    }
    return result;
  }

  /** Up to `most` ranges for a SACK option: the latest first, then the others. */
  ranges(most: number): Range[] {
    const all: Range[] = [];
    let first: Range | undefined;
    for (const held of this.#held) {
      const last = all.at(-1);
      if (last?.end === held.start) all[all.length - 1] = { start: last.start, end: endOf(held) };
      else all.push({ start: held.start, end: endOf(held) });
    }
    const others = all.filter((range) => {
      const isFirst = seqDiff(this.#latest, range.start) >= 0 && seqDiff(this.#latest, range.end) < 0;
      if (isFirst) first = range;
      return !isFirst;
    });
    return [...(first ? [first] : []), ...others].slice(0, most);
  }

  clear(): void {
    this.#held = [];
    this.#size = 0;
  }
}

function endOf({ start, bytes }: Held): number {
  return seqAdd(start, bytes.length);
}
