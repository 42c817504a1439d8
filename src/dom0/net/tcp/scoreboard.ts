/** What the peer says it has although something before it is missing (RFC 2018), as ordered ranges that do not touch. */
import { seqDiff, seqMax, type Range } from './segment.ts';

/** A peer with more holes than that is told everything again. */
const MAX_RANGES = 128;

export class Scoreboard {
  #ranges: Range[] = [];
  /** Bytes in all ranges. */
  bytes = 0;

  /** Blocks of an acknowledgement, of which only what lies between `una` and `max` can be true. */
  update(blocks: readonly Range[], una: number, max: number): boolean {
    const before = this.bytes;
    for (const { start, end } of blocks) {
      const credible = seqDiff(start, una) > 0 && seqDiff(end, start) > 0 && seqDiff(end, max) <= 0;
      if (credible && this.#ranges.length < MAX_RANGES) this.#insert(start, end);
    }
    this.#count();
    return this.bytes > before;
  }

  #insert(start: number, end: number): void {
    let [from, to] = [start, end];
    const kept: Range[] = [];
    let at = 0;
    for (const range of this.#ranges) {
      if (seqDiff(range.end, from) < 0) {
        kept.push(range);
        at = kept.length;
      } else if (seqDiff(range.start, to) > 0) {
        kept.push(range);
      } else {
        if (seqDiff(range.start, from) < 0) from = range.start;
        to = seqMax(to, range.end);
      }
    }
    kept.splice(at, 0, { start: from, end: to });
    this.#ranges = kept;
  }

  /** Everything before is acknowledged. */
  advance(una: number): void {
    if (this.#ranges.length === 0) return;
    this.#ranges = this.#ranges
      .filter(({ end }) => seqDiff(end, una) > 0)
      .map((range) => (seqDiff(range.start, una) < 0 ? { start: una, end: range.end } : range));
    this.#count();
  }

  clear(): void {
    this.#ranges = [];
    this.bytes = 0;
  }

  get empty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The first hole at or after `from` that has something received behind it. */
  hole(from: number): Range | undefined {
    let at = from;
    for (const { start, end } of this.#ranges) {
      if (seqDiff(start, at) > 0) return { start: at, end: start };
      at = seqMax(at, end);
    }
    return undefined;
  }

  /** Bytes in such holes. */
  missing(from: number): number {
    let total = 0;
    let at = from;
    for (const { start, end } of this.#ranges) {
      total += Math.max(seqDiff(start, at), 0);
      at = seqMax(at, end);
    }
    return total;
  }

  #count(): void {
    this.bytes = this.#ranges.reduce((sum, { start, end }) => sum + seqDiff(end, start), 0);
  }
}
