/**
 * page_info[] of a PV domain: what each frame is used as, how often, and how many references there are to it.
 * After the comments at struct page_info in xen/arch/x86/include/asm/mm.h; the layout of the two words is ours.
 *
 *   type   31:29 the type · 28 validated · 27 pinned · 26 counted
 *          25:0  counted: the number of uses as that type; otherwise the TLB time of the last writable mapping
 *   count  31 allocated · 30 Xen heap · 29 Xen private · 25:0 references (src/hypervisor/state.ts)
 *
 * A type changes only while its count is 0. All of this is guarded by the domain's lock.
 */
import type { Mfn } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { PGC_allocated, PGC_count_mask, PGC_xen_heap, PageInfo } from '../state.ts';
import { invalidateM2p } from './m2p.ts';

/** PGT_*: the levels are their own numbers. */
export const PGT = {
  none: 0,
  l1_page_table: 1,
  l2_page_table: 2,
  l3_page_table: 3,
  l4_page_table: 4,
  seg_desc_page: 5,
  writable_page: 7,
} as const;
export type PageType = (typeof PGT)[keyof typeof PGT];

export const PGT_TYPE_SHIFT = 29;
export const PGT_validated = 1 << 28;
export const PGT_pinned = 1 << 27;
export const PGT_counted = 1 << 26;
export const PGT_count_mask = 0x03ff_ffff;

/** Frames of Xen's own tables: no guest mapping of them is ever accepted. */
export const PGC_xen_private = 0x2000_0000;

const WORDS = PageInfo.size / 4;
const COUNT = PageInfo.at.count / 4;

export class PageTypes {
  readonly domain: Domain;
  readonly i32: Int32Array;
  /** Index in `i32` of page_info[0]. */
  readonly #base: number;
  readonly #total: number;

  constructor(domain: Domain) {
    this.domain = domain;
    this.i32 = domain.i32;
    this.#base = domain.layout.pageInfoAt >>> 2;
    this.#total = domain.layout.totalFrames;
  }

  // --- type word --------------------------------------------------------------------------------------------------

  word(mfn: Mfn): number {
    return this.i32[this.#base + mfn * WORDS] ?? 0;
  }

  setWord(mfn: Mfn, word: number): void {
    this.i32[this.#base + mfn * WORDS] = word;
  }

  type(mfn: Mfn): number {
    return this.word(mfn) >>> PGT_TYPE_SHIFT;
  }

  typeCount(mfn: Mfn): number {
    const word = this.word(mfn);
    return word & PGT_counted ? word & PGT_count_mask : 0;
  }

  isPinned(mfn: Mfn): boolean {
    return (this.word(mfn) & PGT_pinned) !== 0;
  }

  /** The type under which the frame is in use and validated; `none` when it is not in use, or still being validated. */
  typeInUse(mfn: Mfn): number {
    const word = this.word(mfn);
    return (word & (PGT_counted | PGT_validated)) === (PGT_counted | PGT_validated)
      ? word >>> PGT_TYPE_SHIFT
      : PGT.none;
  }

  // --- references -------------------------------------------------------------------------------------------------

  count(mfn: Mfn): number {
    return this.i32[this.#base + mfn * WORDS + COUNT] ?? 0;
  }

  setCount(mfn: Mfn, count: number): void {
    this.i32[this.#base + mfn * WORDS + COUNT] = count;
  }

  /** Takes a reference; false when the number is no frame, or no frame that belongs to the domain. */
  getPage(mfn: number): boolean {
    if (!(mfn >= 0 && mfn < this.#total)) return false;
    const index = this.#base + mfn * WORDS + COUNT;
    const count = this.i32[index] ?? 0;
    if (count === 0 || (count & PGC_xen_private) !== 0 || (count & PGC_count_mask) === PGC_count_mask) return false;
    this.i32[index] = count + 1;
    return true;
  }

  /** Drops a reference; the frame is free again when nothing is left of it. */
  putPage(mfn: Mfn): void {
    const index = this.#base + mfn * WORDS + COUNT;
    if (mfn >= this.#total || ((this.i32[index] ?? 0) & PGC_count_mask) === 0) return;
    const count = (this.i32[index] ?? 0) - 1;
    this.i32[index] = count;
    if (count === 0) this.#free(mfn);
  }

  /** guest_remove_page: the domain gives the frame back; it stays in being while something still refers to it. */
  release(mfn: Mfn): boolean {
    const count = this.count(mfn);
    if ((count & PGC_allocated) === 0 || (count & (PGC_xen_heap | PGC_xen_private)) !== 0) return false;
    this.setCount(mfn, count & ~PGC_allocated);
    if ((count & ~PGC_allocated) === 0) this.#free(mfn);
    return true;
  }

  #free(mfn: Mfn): void {
    this.setWord(mfn, PGT.none);
    invalidateM2p(this.domain, mfn);
  }
}
