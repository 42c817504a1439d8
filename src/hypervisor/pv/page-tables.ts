/**
 * Direct paging: which frames are page tables, and what may be written into them. After xen/arch/x86/mm.c: getting and
 * putting types, validating tables when they become such, and every change of a validated entry (`mod_l1_entry` …).
 *
 * Invariant: an entry of a validated table holds one reference, and one use as the type its level asks for, of the
 * frame it points to. A long validation lets others have the lock in between; the frame it works on is counted but not
 * validated meanwhile, and whoever needs that frame waits.
 */
import { Errno } from '../../abi/errno.ts';
import { ENTRIES, FIRST_XEN_SLOT, LAST_XEN_SLOT, PTE, PTE_HI } from '../../abi/arch-x86/page-table.ts';
import type { Mfn, Vaddr } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { checkDescriptor } from './descriptor-check.ts';
import { m2pL4Entry } from './m2p.ts';
import {
  L1_DISALLOW,
  RECHECK_LO,
  TABLE_DISALLOW,
  adjustL1Hi,
  adjustL1Lo,
  adjustTableLo,
  isXenSlot,
} from './page-table-entry.ts';
import { PGT, PGT_TYPE_SHIFT, PGT_count_mask, PGT_counted, PGT_pinned, PGT_validated, PageTypes } from './page-type.ts';
import type { TlbControl } from './tlb.ts';

/** Entries between two moments at which others may have the lock. */
const BREATHE_AFTER = 16384;

export class PageTables {
  readonly domain: Domain;
  readonly types: PageTypes;
  readonly #tlb: TlbControl;
  readonly #i32: Int32Array;
  /** Index in `i32` of frame 0. */
  readonly #frames: number;
  readonly #total: number;
  #work = 0;

  constructor(domain: Domain, tlb: TlbControl) {
    this.domain = domain;
    this.types = new PageTypes(domain);
    this.#tlb = tlb;
    this.#i32 = domain.i32;
    this.#frames = domain.layout.framesAt >>> 2;
    this.#total = domain.layout.totalFrames;
  }

  /** Index in `i32` of the first entry of a table. */
  entriesOf(mfn: Mfn): number {
    return this.#frames + mfn * 1024;
  }

  /** Index in `i32` of the L1 entry that maps `va` below the L4 table `root`; -1 when a table on the way is missing. */
  findL1Entry(root: Mfn, va: Vaddr): number {
    const i32 = this.#i32;
    const lo = va | 0;
    const hi = Math.floor(va / 0x1_0000_0000) | 0;
    const l4e = i32[this.entriesOf(root) + ((hi >>> 7) & 511) * 2] ?? 0;
    if (!this.#leadsOn(l4e)) return -1;
    const l3e = i32[this.entriesOf(l4e >>> 12) + (((hi << 2) | (lo >>> 30)) & 511) * 2] ?? 0;
    if (!this.#leadsOn(l3e)) return -1;
    const l2e = i32[this.entriesOf(l3e >>> 12) + ((lo >>> 21) & 511) * 2] ?? 0;
    if (!this.#leadsOn(l2e)) return -1;
    return this.entriesOf(l2e >>> 12) + ((lo >>> 12) & 511) * 2;
  }

  /** Whether an entry of L2 to L4 points to a table in a frame that there is. */
  #leadsOn(lo: number): boolean {
    return (lo & (PTE.P | PTE.PSE)) === PTE.P && lo >>> 12 < this.#total;
  }

  /** The frame that an entry's index lies in. */
  frameOfEntry(e: number): Mfn {
    return (e - this.#frames) >>> 10;
  }

  // --- types ------------------------------------------------------------------------------------------------------

  /** _get_page_type: one more use of the frame as `type`; validates it when it is the first. 0 or -EINVAL. */
  getType(mfn: Mfn, type: number): number {
    const { types } = this;
    let word = types.word(mfn);
    while ((word & (PGT_counted | PGT_validated)) === PGT_counted && word >>> PGT_TYPE_SHIFT === type) {
      // Another vCPU is validating it, or taking it apart.
      if (this.domain.dying) return Errno.EINTR;
      this.#breathe();
      word = types.word(mfn);
    }
    if ((word & PGT_counted) !== 0) {
      if (word >>> PGT_TYPE_SHIFT !== type || (word & PGT_count_mask) === PGT_count_mask) return Errno.EINVAL;
      types.setWord(mfn, word + 1);
      return 0;
    }
    const previous = word >>> PGT_TYPE_SHIFT;
    if (type === PGT.writable_page) {
      types.setWord(mfn, (type << PGT_TYPE_SHIFT) | PGT_validated | PGT_counted | 1);
      return 0;
    }
    types.setWord(mfn, (type << PGT_TYPE_SHIFT) | PGT_counted | 1);
    if (previous === PGT.writable_page) this.#flushWriters(word & PGT_count_mask);
    const error = this.#validate(mfn, type);
    types.setWord(mfn, error === 0 ? (type << PGT_TYPE_SHIFT) | PGT_validated | PGT_counted | 1 : PGT.none);
    return error;
  }

  /**
   * Nobody may write to the frame through a translation of before while it is validated, or afterwards. The others empty
   * their TLBs on their way out of hypercalls, which may need the lock.
   */
  #flushWriters(time: number): void {
    this.#tlb.filteredFlush(time);
    if (this.#tlb.unsettled) this.domain.breathe(() => this.#tlb.settle());
  }

  /** _put_page_type: one use less. A table that is not used any more lets go of what its entries refer to. */
  putType(mfn: Mfn): void {
    const { types } = this;
    const word = types.word(mfn);
    // Only a guest that wrote to a table through a stale translation gets here; the damage is its own.
    if ((word & PGT_counted) === 0) return;
    if ((word & PGT_count_mask) > 1) {
      types.setWord(mfn, word - 1);
      return;
    }
    const type = word >>> PGT_TYPE_SHIFT;
    if (type === PGT.writable_page) {
      types.setWord(mfn, (type << PGT_TYPE_SHIFT) | this.#tlb.now());
      return;
    }
    if (type <= PGT.l4_page_table) {
      types.setWord(mfn, (word & ~PGT_validated) | 0);
      if (type === PGT.l4_page_table) this.#tlb.changes.rootGone(mfn);
      this.#release(mfn, type, ENTRIES);
    }
    types.setWord(mfn, PGT.none);
  }

  getPageAndType(mfn: number, type: number): number {
    if (!this.types.getPage(mfn)) return Errno.EINVAL;
    const error = this.getType(mfn, type);
    if (error !== 0) this.types.putPage(mfn);
    return error;
  }

  putPageAndType(mfn: Mfn): void {
    this.putType(mfn);
    this.types.putPage(mfn);
  }

  /** MMUEXT_PIN_Ln_TABLE */
  pin(mfn: number, level: number): number {
    const error = this.getPageAndType(mfn, level);
    if (error !== 0) return error;
    const word = this.types.word(mfn);
    if ((word & PGT_pinned) !== 0) {
      this.putPageAndType(mfn);
      return Errno.EINVAL;
    }
    this.types.setWord(mfn, word | PGT_pinned);
    return 0;
  }

  /** MMUEXT_UNPIN_TABLE */
  unpin(mfn: number): number {
    if (!this.types.getPage(mfn)) return Errno.EINVAL;
    const word = this.types.word(mfn);
    const pinned = (word & PGT_pinned) !== 0;
    if (pinned) {
      this.types.setWord(mfn, word & ~PGT_pinned);
      this.putPageAndType(mfn);
    }
    this.types.putPage(mfn);
    return pinned ? 0 : Errno.EINVAL;
  }

  // --- validation -------------------------------------------------------------------------------------------------

  #validate(mfn: Mfn, type: number): number {
    // What a dying domain keeps of itself is of no interest any more, and its end does not wait.
    if (this.domain.dying) return Errno.EINTR;
    this.#tlb.dropCode(mfn);
    if (type === PGT.l1_page_table) return this.#validateL1(mfn);
    if (type <= PGT.l4_page_table) return this.#validateTable(mfn, type);
    return this.#validateDescriptors(mfn);
  }

  #validateL1(mfn: Mfn): number {
    const entries = this.entriesOf(mfn);
    this.#breatheAfter(ENTRIES);
    for (let slot = 0; slot < ENTRIES; slot++) {
      const e = entries + slot * 2;
      const lo = this.#i32[e] ?? 0;
      if ((lo & PTE.P) === 0) continue;
      const hi = this.#i32[e + 1] ?? 0;
      const error = this.#getL1Target(lo, hi);
      if (error !== 0) {
        this.#release(mfn, PGT.l1_page_table, slot);
        return error;
      }
      this.#writeEntry(e, adjustL1Lo(lo, hi), adjustL1Hi(lo, hi), false);
    }
    return 0;
  }

  #validateTable(mfn: Mfn, level: number): number {
    const entries = this.entriesOf(mfn);
    this.#breatheAfter(ENTRIES);
    for (let slot = 0; slot < ENTRIES; slot++) {
      if (level === PGT.l4_page_table && isXenSlot(slot)) continue;
      const e = entries + slot * 2;
      const lo = this.#i32[e] ?? 0;
      if ((lo & PTE.P) === 0) continue;
      const error = this.#getTableTarget(mfn, level, lo, this.#i32[e + 1] ?? 0);
      if (error !== 0) {
        this.#release(mfn, level, slot);
        return error;
      }
      this.#i32[e] = adjustTableLo(lo, level);
    }
    if (level === PGT.l4_page_table) this.#writeXenSlots(mfn);
    return 0;
  }

  /** init_xen_l4_slots: of Xen's own mappings a guest can see the M2P only. */
  #writeXenSlots(mfn: Mfn): void {
    const entries = this.entriesOf(mfn);
    for (let slot = FIRST_XEN_SLOT; slot <= LAST_XEN_SLOT; slot++) {
      this.#i32[entries + slot * 2] = slot === FIRST_XEN_SLOT ? m2pL4Entry(this.domain) : 0;
      this.#i32[entries + slot * 2 + 1] = 0;
    }
  }

  /** Shows or hides the M2P in an L4 table (VMASST_TYPE_m2p_strict). */
  setM2pVisible(mfn: Mfn, visible: boolean): void {
    const e = this.entriesOf(mfn) + FIRST_XEN_SLOT * 2;
    const entry = visible ? m2pL4Entry(this.domain) : 0;
    if ((((this.#i32[e] ?? 0) ^ entry) & ~(PTE.A | PTE.D)) === 0) return;
    this.#i32[e] = entry;
    this.#tlb.changes.table();
  }

  #validateDescriptors(mfn: Mfn): number {
    const entries = this.entriesOf(mfn);
    for (let i = 0; i < ENTRIES; i++) {
      const e = entries + i * 2;
      const checked = checkDescriptor(this.#i32[e] ?? 0, this.#i32[e + 1] ?? 0);
      if (checked === undefined) return Errno.EINVAL;
      this.#i32[e] = checked.lo;
      this.#i32[e + 1] = checked.hi;
    }
    return 0;
  }

  /** Puts what the entries below `end` refer to. */
  #release(mfn: Mfn, level: number, end: number): void {
    if (this.domain.dying) return;
    const entries = this.entriesOf(mfn);
    this.#breatheAfter(end);
    for (let slot = 0; slot < end; slot++) {
      if (level === PGT.l4_page_table && isXenSlot(slot)) continue;
      const e = entries + slot * 2;
      const lo = this.#i32[e] ?? 0;
      if ((lo & PTE.P) === 0) continue;
      if (level === PGT.l1_page_table) this.#putL1Target(lo, this.#i32[e + 1] ?? 0);
      else this.#putTableTarget(mfn, lo);
    }
  }

  /** get_page_from_l1e: 0, or the error of an entry that may not be. */
  #getL1Target(lo: number, hi: number): number {
    if ((lo & L1_DISALLOW) !== 0) return Errno.EINVAL;
    const mfn = lo >>> 12;
    if ((hi & PTE_HI.ADDRESS) !== 0 || mfn >= this.#total) {
      // Not memory of any domain: MMIO space, which this domain has none of.
      return (hi & PTE_HI.ADDRESS) === PTE_HI.ADDRESS && mfn === 0xfffff ? Errno.EINVAL : Errno.EPERM;
    }
    if (!this.types.getPage(mfn)) return Errno.EBUSY;
    if ((lo & PTE.RW) === 0) return 0;
    if (this.getType(mfn, PGT.writable_page) === 0) return 0;
    this.types.putPage(mfn);
    return Errno.EBUSY;
  }

  #putL1Target(lo: number, hi: number): void {
    const mfn = lo >>> 12;
    if ((hi & PTE_HI.ADDRESS) !== 0 || mfn >= this.#total) return;
    if ((lo & PTE.RW) !== 0) this.putType(mfn);
    this.types.putPage(mfn);
  }

  /** get_page_from_l2e … l4e. A table may also map itself, read-only (linear page tables; of other tables it may not). */
  #getTableTarget(table: Mfn, level: number, lo: number, hi: number): number {
    if ((lo & TABLE_DISALLOW) !== 0) return Errno.EINVAL;
    const mfn = lo >>> 12;
    if ((hi & PTE_HI.ADDRESS) !== 0) return Errno.EINVAL;
    if (mfn === table) return (lo & PTE.RW) === 0 ? 0 : Errno.EINVAL;
    return this.getPageAndType(mfn, level - 1);
  }

  #putTableTarget(table: Mfn, lo: number): void {
    const mfn = lo >>> 12;
    // Beyond page_info lie structures of ours: what another vCPU stored through a stale translation must not lead there.
    if (mfn !== table && mfn < this.#total) this.putPageAndType(mfn);
  }

  // --- changes of validated entries -------------------------------------------------------------------------------

  /** mod_l1_entry: `e` is the index in `i32` of an entry of a validated L1 table. */
  modL1(e: number, lo: number, hi: number, preserveAd: boolean): number {
    const oldLo = this.#i32[e] ?? 0;
    const oldHi = this.#i32[e + 1] ?? 0;
    if ((lo & PTE.P) !== 0) {
      if ((lo & L1_DISALLOW) !== 0) return Errno.EINVAL;
      const newLo = adjustL1Lo(lo, hi);
      const newHi = adjustL1Hi(lo, hi);
      if (((oldLo ^ newLo) & RECHECK_LO) === 0 && ((oldHi ^ newHi) & PTE_HI.ADDRESS) === 0) {
        this.#writeEntry(e, newLo, newHi, preserveAd);
        this.#tlb.changes.mapping(oldLo >>> 12);
        return 0;
      }
      const error = this.#getL1Target(newLo, newHi);
      if (error !== 0) return error;
      this.#writeEntry(e, newLo, newHi, preserveAd);
    } else {
      this.#writeEntry(e, lo, hi, preserveAd);
    }
    if ((oldLo & PTE.P) === 0) return 0;
    this.#tlb.changes.mapping(oldLo >>> 12);
    this.#putL1Target(oldLo, oldHi);
    return 0;
  }

  /** mod_l2_entry … mod_l4_entry. */
  modTable(table: Mfn, level: number, slot: number, lo: number, hi: number, preserveAd: boolean): number {
    if (level === PGT.l4_page_table && isXenSlot(slot)) return Errno.EINVAL;
    const e = this.entriesOf(table) + slot * 2;
    let oldLo = this.#i32[e] ?? 0;
    if ((lo & PTE.P) !== 0) {
      if ((lo & TABLE_DISALLOW) !== 0) return Errno.EINVAL;
      const newLo = adjustTableLo(lo, level);
      if (((oldLo ^ newLo) & RECHECK_LO) === 0 && (((this.#i32[e + 1] ?? 0) ^ hi) & PTE_HI.ADDRESS) === 0) {
        this.#writeEntry(e, newLo, hi, preserveAd);
        this.#tlb.changes.table();
        return 0;
      }
      // Others may have the lock while the new target is validated: the table must stay one, and the old entry may change.
      this.types.setWord(table, this.types.word(table) + 1);
      const error = this.#getTableTarget(table, level, newLo, hi);
      oldLo = this.#i32[e] ?? 0;
      if (error === 0) this.#writeEntry(e, newLo, hi, preserveAd);
      this.putType(table);
      if (error !== 0) return error;
    } else {
      this.#writeEntry(e, lo, hi, preserveAd);
    }
    if ((oldLo & PTE.P) === 0) return 0;
    this.#tlb.changes.table();
    // Xen flushes after any such change. Nothing is cached of an entry that was not present, so only the others need it.
    this.#tlb.flushAll();
    this.#putTableTarget(table, oldLo);
    return 0;
  }

  /**
   * Stores an entry so that a page walk of another vCPU never sees a present entry with a foreign upper half; A and D
   * may be set by such a walk at any time.
   */
  #writeEntry(e: number, lo: number, hi: number, preserveAd: boolean): void {
    const i32 = this.#i32;
    if ((lo & PTE.P) !== 0) i32[e + 1] = hi;
    if (preserveAd) {
      let old = Atomics.load(i32, e);
      for (;;) {
        const seen = Atomics.compareExchange(i32, e, old, lo | (old & (PTE.A | PTE.D)));
        if (seen === old) break;
        old = seen;
      }
    } else {
      Atomics.store(i32, e, lo);
    }
    if ((lo & PTE.P) === 0) i32[e + 1] = hi;
  }

  /** After a guest's own store into a pinned L1 table: what stood there before, and what stands there now. 0 or an error. */
  revalidateL1(e: number, oldLo: number, oldHi: number): number {
    const lo = this.#i32[e] ?? 0;
    const hi = this.#i32[e + 1] ?? 0;
    if (lo === oldLo && hi === oldHi) return 0;
    this.#i32[e] = oldLo;
    this.#i32[e + 1] = oldHi;
    return this.modL1(e, lo, hi, false);
  }

  /** A hypercall begins: what the last one did does not count. */
  begin(): void {
    this.#work = 0;
  }

  #breatheAfter(entries: number): void {
    this.#work += entries;
    if (this.#work < BREATHE_AFTER) return;
    this.#work = 0;
    this.#breathe();
  }

  /** Lets whoever waits for the domain's lock have it. */
  #breathe(): void {
    this.domain.breathe(() => this.#tlb.pause());
  }
}
