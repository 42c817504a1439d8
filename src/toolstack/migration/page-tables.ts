/**
 * Page tables in a stream hold PFNs. Where a domain is restored its MFNs are its PFNs, so they become tables again by
 * being pinned, which checks them.
 */
import { ENTRIES, FIRST_XEN_SLOT, LAST_XEN_SLOT, PTE, PTE_HI } from '../../abi/arch-x86/page-table.ts';
import { StreamError } from './byte-stream.ts';
import type { Physmap } from './physmap.ts';

const L4 = 4;

/** Turns the MFNs of a table, a copy, into PFNs. Throws StreamError for what leads to no page of the guest. */
export function canonicalise(table: DataView, level: number, physmap: Physmap): void {
  for (let slot = 0; slot < ENTRIES; slot++) {
    const at = slot * 8;
    if (level === L4 && slot >= FIRST_XEN_SLOT && slot <= LAST_XEN_SLOT) {
      table.setUint32(at, 0, true);
      table.setUint32(at + 4, 0, true);
      continue;
    }
    const lo = table.getUint32(at, true);
    if ((lo & PTE.P) === 0) continue;
    const hi = table.getUint32(at + 4, true);
    const mfn = lo >>> 12;
    const pfn = (hi & PTE_HI.ADDRESS) === 0 ? physmap.pfnOf(mfn) : undefined;
    if (pfn === undefined)
      throw new StreamError(
        `the guest still maps frame 0x${mfn.toString(16)}, which is none of its pages (entry ${slot} of an L${level} table)`,
      );
    table.setUint32(at, ((pfn << 12) | (lo & 0xfff)) >>> 0, true);
  }
}
