/** Where a PV guest's pseudo-physical pages lie: what stands in a stream are PFNs, in the guest's tables MFNs. */
import type { DomainControl } from '../../hypervisor/control.ts';

export const NOT_THERE = 0xffff_ffff;

export class Physmap {
  /** By PFN: the MFN, or NOT_THERE. */
  readonly mfns: Uint32Array;
  /** By MFN: the PFN, or NOT_THERE. */
  readonly pfns: Uint32Array;
  /** How many pages there are. */
  readonly pages: number;

  constructor(domain: Pick<DomainControl, 'frames' | 'pfnOf' | 'sharedInfoMfn'>) {
    // RAM comes before what Xen owns.
    const total = Math.min(domain.frames.count, domain.sharedInfoMfn);
    this.pfns = new Uint32Array(total).fill(NOT_THERE);
    this.mfns = new Uint32Array(total).fill(NOT_THERE);
    let pages = 0;
    for (let mfn = 0; mfn < total; mfn++) {
      const pfn = domain.pfnOf(mfn);
      // A guest may write what it likes into the machine-to-physical table; two frames cannot be one page.
      if (pfn === undefined || pfn >= total || this.mfns[pfn] !== NOT_THERE) continue;
      this.pfns[mfn] = pfn;
      this.mfns[pfn] = mfn;
      pages++;
    }
    this.pages = pages;
  }

  mfnOf(pfn: number): number | undefined {
    const mfn = this.mfns[pfn];
    return mfn === NOT_THERE ? undefined : mfn;
  }

  pfnOf(mfn: number): number | undefined {
    const pfn = this.pfns[mfn];
    return pfn === NOT_THERE ? undefined : pfn;
  }
}
