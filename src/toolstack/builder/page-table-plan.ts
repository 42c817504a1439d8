/**
 * The bootstrap page tables: which tables the mappings need, in which frames they go, and their entries. Tables are
 * counted and placed before a byte is written, because their frames are themselves part of what is mapped.
 */
import { PAGE_SIZE } from '../../abi/numbers.ts';

/** Bits of an entry, Intel SDM Volume 3A, "4-Level Paging". */
const P = 1;
const RW = 2;
const US = 4;
const A = 0x20;
const D = 0x40;
/** What libxc writes, which is what a guest sees until it is pinned: no NX, no large page, nothing global. */
const TABLE_ENTRY = P | RW | US | A | D;
const PAGE_ENTRY = P | RW | A;

/** How much address space one table of each level covers, highest first; the L4 table covers all. */
const LEVELS = [
  { level: 3, bits: 39 },
  { level: 2, bits: 30 },
  { level: 1, bits: 21 },
] as const;
type Level = (typeof LEVELS)[number]['level'];

export interface Mapping {
  readonly from: number;
  readonly to: number;
  readonly pfn: number;
}

/** Tables of one level that a mapping would add. */
export interface TableCount {
  readonly level: Level;
  readonly bits: number;
  readonly from: number;
  readonly to: number;
  readonly tables: number;
}

export class PageTablePlan {
  /** Frame of each table, by the number of the region that it covers. */
  readonly #tables: Record<Level, Map<number, number>> = { 3: new Map(), 2: new Map(), 1: new Map() };
  readonly #mappings: Mapping[] = [];
  #l4: number | undefined;

  /** What mapping `from` … `to` (last byte) would need beyond what is planned already; the L4 table not counted. */
  count(from: number, to: number): TableCount[] {
    return LEVELS.map(({ level, bits }) => {
      const first = region(from, bits);
      const last = region(to, bits);
      let tables = 0;
      for (let r = first; r <= last; r++) if (!this.#tables[level].has(r)) tables++;
      return { level, bits, from: first * 2 ** bits, to: (last + 1) * 2 ** bits - 1, tables };
    });
  }

  get hasL4(): boolean {
    return this.#l4 !== undefined;
  }

  get l4(): number {
    if (this.#l4 === undefined) throw new Error('no mapping is planned yet');
    return this.#l4;
  }

  /** Plans a mapping whose new tables take the frames from `tablesAt` on: L4 (for the first), L3, L2, L1. */
  add(mapping: Mapping, tablesAt: number): void {
    let next = tablesAt;
    this.#l4 ??= next++;
    for (const { level, bits } of LEVELS) {
      const known = this.#tables[level];
      for (let r = region(mapping.from, bits); r <= region(mapping.to, bits); r++)
        if (!known.has(r)) known.set(r, next++);
    }
    this.#mappings.push(mapping);
  }

  /** Writes all tables. `frame` gives a zeroed frame of the domain; frame numbers are as the guest's entries hold them. */
  write(frame: (pfn: number) => DataView): void {
    const parents: Record<Level, (va: number) => number | undefined> = {
      3: () => this.#l4,
      2: (va) => this.#tables[3].get(region(va, 39)),
      1: (va) => this.#tables[2].get(region(va, 30)),
    };
    const isTable = new Set<number>([this.l4]);
    for (const { level, bits } of LEVELS) {
      for (const [r, pfn] of this.#tables[level]) {
        isTable.add(pfn);
        const va = r * 2 ** bits;
        const parent = parents[level](va);
        if (parent === undefined) throw new Error(`no table above the level ${level} table for ${va}`);
        writeEntry(frame(parent), region(va, bits) & 511, pfn, TABLE_ENTRY);
      }
    }
    for (const { from, to, pfn: firstPfn } of this.#mappings) {
      let pfn = firstPfn;
      for (let va = from; va <= to; va += PAGE_SIZE, pfn++) {
        const table = this.#tables[1].get(region(va, 21));
        if (table === undefined) throw new Error(`no table for ${va}`);
        // A frame in use as a page table must be read-only in every mapping, or the tree cannot be pinned.
        writeEntry(frame(table), region(va, 12) & 511, pfn, isTable.has(pfn) ? PAGE_ENTRY & ~RW : PAGE_ENTRY);
      }
    }
  }
}

/** Floor, so that negative addresses (the upper half) number on in two's complement. */
function region(va: number, bits: number): number {
  return Math.floor(va / 2 ** bits);
}

function writeEntry(table: DataView, index: number, pfn: number, flags: number): void {
  table.setUint32(index * 8, ((pfn << 12) | flags) >>> 0, true);
  table.setUint32(index * 8 + 4, Math.floor(pfn / 2 ** 20), true);
}
