/**
 * Blocks that another processor had decoded, in the domain that this one's is a clone of. The block table tells where each came from; where in a page they lie is looked
 * for once, when the first page of them is written, and told by page: most pages never are.
 */
import type { Block } from './code-cache.ts';
import { BlockTable, Op, Region } from './state-layout.ts';

const ENTRY_WORDS = BlockTable.entrySize / 4;
const PAGE = 4096;

export interface Inheritance {
  readonly words: Uint32Array;
  readonly vcpu: number;
  readonly framesAt: number;
  /** Operations below this are theirs. */
  readonly end: number;
  /** The handler of an operation that tells where a block's second page is. */
  readonly cross: number;
}

export class InheritedBlocks {
  readonly #of: Inheritance;
  /** By page: the last one that is known to lie there, counted from 1. */
  readonly #last = new Map<number, number>();
  /** By the same count: entries of the block table, and the one before it in its page. */
  readonly #entries: number[] = [0];
  readonly #before: number[] = [0];

  constructor(of: Inheritance) {
    this.#of = of;
    const { words, end } = of;
    const first = this.#entryAt(0);
    for (let entry = 0; entry < BlockTable.entries; entry++) {
      const op = words[first + entry * ENTRY_WORDS + BlockTable.op / 4] ?? 0;
      if (op === 0 || op >= end) continue;
      for (const [page] of this.#pieces(entry)) {
        this.#before.push(this.#last.get(page) ?? 0);
        this.#last.set(page, this.#entries.push(entry) - 1);
      }
    }
  }

  /** Pages that have some. */
  get pages(): Iterable<number> {
    return this.#last.keys();
  }

  /** Those in a page that are still in the table; they are not told again. */
  take(page: number): Block[] {
    const blocks: Block[] = [];
    for (let n = this.#last.get(page) ?? 0; n !== 0; n = this.#before[n] ?? 0) {
      const entry = this.#entries[n] ?? 0;
      const at = this.#entryAt(entry);
      const op = this.#of.words[at + BlockTable.op / 4] ?? 0;
      if (op === 0 || op >= this.#of.end) continue;
      const end = op + this.#size(entry, 'operations');
      for (const [of, firstByte, lastByte] of this.#pieces(entry))
        if (of === page) blocks.push({ op, end, firstByte, lastByte, key: at * 4 });
    }
    this.#last.delete(page);
    return blocks;
  }

  #entryAt(entry: number): number {
    return ((this.#of.vcpu + Region.blockTableAt) >>> 2) + entry * ENTRY_WORDS;
  }

  #size(entry: number, of: 'operations' | 'bytes'): number {
    const size = this.#of.words[this.#entryAt(entry) + BlockTable.size / 4] ?? 0;
    return of === 'bytes' ? size >>> 16 : size & 0xffff;
  }

  /** Page, first and last byte of each. */
  #pieces(entry: number): (readonly [page: number, first: number, last: number])[] {
    const { words, framesAt, cross } = this.#of;
    const at = this.#entryAt(entry);
    const host = words[at + BlockTable.key / 4] ?? 0;
    const bytes = this.#size(entry, 'bytes');
    const page = host - ((host - framesAt) % PAGE);
    const beyond = host + bytes - (page + PAGE);
    if (beyond <= 0) return [[page, host, host + bytes - 1]];
    // An operation tells where the second page is. That may be the first one, under a handler of a region.
    const op = words[at + BlockTable.op / 4] ?? 0;
    let told = op + this.#size(entry, 'operations') - Op.size;
    while (told > op && words[(told + Op.handler) >>> 2] !== cross) told -= Op.size;
    const second = words[(told + Op.imm) >>> 2] ?? 0;
    return [
      [page, host, page + PAGE - 1],
      [second, second, second + beyond - 1],
    ];
  }
}
