/**
 * The reservation of a domain: which RAM frames it holds. MFN equals PFN wherever that frame is free, because such a
 * guest's tables stay as simple as its builder made them. After xen/common/memory.c.
 */
import { Errno } from '../abi/errno.ts';
import type { Mfn, Pfn } from '../abi/numbers.ts';
import type { Domain } from './domain.ts';
import type { PlatformKind } from './platform.ts';

/** Host-wide accounting: pages that belong to nobody yet. */
export interface FreePages {
  claimPages(count: number): boolean;
  releasePages(count: number): void;
}

/** The frame has no place in the guest's physical memory yet: its M2P entry stays invalid. */
export const NO_PFN = -1;

/** The largest extent: 4 MiB, what an unprivileged domain may ask for (memory.c, domu_max_order). */
const MAX_ORDER = 10;

/** Takes 2^order frames in a row into the reservation as `pfn` …; undefined when there are none. Under the lock. */
export function populateExtent(
  domain: Domain,
  kind: PlatformKind,
  pages: FreePages,
  pfn: Pfn,
  order: number,
): Mfn | undefined {
  if (order > MAX_ORDER) return undefined;
  const count = 1 << order;
  if (domain.get('totPages') + count > domain.get('maxPages')) return undefined;
  const wished: number = pfn;
  const mfn = isFree(domain, wished, count) && wished % count === 0 ? wished : findFree(domain, count);
  if (mfn === undefined || !pages.claimPages(count)) return undefined;
  for (let i = 0; i < count; i++) {
    domain.frame(mfn + i).fill(0);
    kind.assign(domain, mfn + i, pfn === NO_PFN ? NO_PFN : pfn + i);
  }
  domain.set('totPages', domain.get('totPages') + count);
  return mfn;
}

/** Gives frames back; false at the first that is not the domain's, what came before is gone. Under the lock. */
export function removeExtent(domain: Domain, kind: PlatformKind, pages: FreePages, mfn: Mfn, order: number): boolean {
  if (order > MAX_ORDER) return false;
  const count = 1 << order;
  for (let i = 0; i < count; i++) {
    if (!domain.isRam(mfn + i) || !kind.release(domain, mfn + i)) return false;
    domain.set('totPages', domain.get('totPages') - 1);
    const shared = domain.get('sharedPages');
    if (shared > 0) domain.set('sharedPages', shared - 1);
    else pages.releasePages(1);
  }
  return true;
}

/** The builder's: frames 0 … count-1 at once. A new memory is zero already. */
export function populateInitial(domain: Domain, kind: PlatformKind, pages: FreePages, count: number): Errno | 0 {
  if (domain.get('totPages') !== 0) return Errno.EEXIST;
  if (count > domain.get('maxPages') || !pages.claimPages(count)) return Errno.ENOMEM;
  domain.locked(() => {
    for (let mfn = 0; mfn < count; mfn++) kind.assign(domain, mfn, mfn);
    domain.set('totPages', count);
  });
  return 0;
}

/** Of a domain that is restored: pages at frames of the same number, all or none of them. Memory that nobody had is zero already. */
export function populateAt(domain: Domain, kind: PlatformKind, pages: FreePages, pfns: readonly Pfn[]): Errno | 0 {
  return domain.locked(() => {
    if (!pfns.every((pfn) => isFree(domain, pfn as number, 1))) return Errno.EEXIST;
    if (domain.get('totPages') + pfns.length > domain.get('maxPages') || !pages.claimPages(pfns.length))
      return Errno.ENOMEM;
    for (const pfn of pfns) kind.assign(domain, pfn as number, pfn);
    domain.set('totPages', domain.get('totPages') + pfns.length);
    return 0;
  });
}

/** Free: RAM that is neither part of the reservation nor still referred to. */
function isFree(domain: Domain, mfn: Mfn, count: number): boolean {
  if (!(mfn >= 0) || mfn + count > domain.layout.maxPages || !Number.isInteger(mfn)) return false;
  for (let i = 0; i < count; i++) if (domain.countOf(mfn + i) !== 0) return false;
  return true;
}

function findFree(domain: Domain, count: number): Mfn | undefined {
  const slots = Math.floor(domain.layout.maxPages / count);
  const start = Math.floor(domain.get('freeCursor') / count);
  for (let i = 0; i < slots; i++) {
    const mfn = ((start + i) % slots) * count;
    if (!isFree(domain, mfn, count)) continue;
    domain.set('freeCursor', mfn + count);
    return mfn;
  }
  return undefined;
}
