/**
 * A domain's grant table: frames that Xen owns and the guest maps, and the entries in them. After
 * xen/include/public/grant_table.h and xen/common/grant_table.c. The guest writes entries without asking, so each is
 * read once and its in-use bits are changed with compare-and-exchange.
 */
import {
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_type_mask,
  GTF_writing,
  GNTST,
  GrantEntryV1,
  GrantEntryV2,
} from '../../abi/grant-table.ts';
import type { DomId, GrantRef, HostAddress } from '../../abi/numbers.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';

const STATUS_PER_FRAME = PAGE_SIZE / 2;
const V1_PER_FRAME = PAGE_SIZE / GrantEntryV1.size;
const V2_PER_FRAME = PAGE_SIZE / GrantEntryV2.size;
/** A guest that keeps changing an entry under us is told to sort itself out (grant_table.c gives up as well). */
const CMPXCHG_TRIES = 5;

export const statusFramesFor = (frames: number): number => Math.ceil((frames * V2_PER_FRAME) / STATUS_PER_FRAME);

export const entriesPerFrame = (domain: Domain): number =>
  domain.get('grantVersion') === 2 ? V2_PER_FRAME : V1_PER_FRAME;

export const entryCount = (domain: Domain): number => domain.get('grantFrames') * entriesPerFrame(domain);

/** Host address of an entry; the table's frames follow each other. */
export function entryAt(domain: Domain, ref: GrantRef): HostAddress {
  const size = domain.get('grantVersion') === 2 ? GrantEntryV2.size : GrantEntryV1.size;
  return domain.frameAt(domain.layout.grantMfn) + ref * size;
}

export function statusAt(domain: Domain, ref: GrantRef): HostAddress {
  return domain.frameAt(domain.layout.statusMfn) + ref * 2;
}

/** Makes the table at least `frames` long; false beyond the domain's limit. Under the lock. */
export function grow(domain: Domain, frames: number): boolean {
  if (frames > domain.layout.maxGrantFrames) return false;
  const have = domain.get('grantFrames');
  for (let i = have; i < frames; i++) domain.frame(domain.layout.grantMfn + i).fill(0);
  if (frames > have) domain.set('grantFrames', frames);
  if (domain.get('grantVersion') === 2) {
    const wanted = statusFramesFor(Math.max(frames, have));
    for (let i = domain.get('statusFrames'); i < wanted; i++) domain.frame(domain.layout.statusMfn + i).fill(0);
    domain.set('statusFrames', Math.max(wanted, domain.get('statusFrames')));
  }
  return true;
}

export interface Grant {
  readonly frame: number;
  /** What of the frame is granted: all of it, unless the entry is a sub-page one. */
  readonly offset: number;
  readonly length: number;
}

/** Takes a grant for `taker`: checks the entry and sets its in-use bits (_set_status). Under the lock. */
export function acquire(
  domain: Domain,
  ref: GrantRef,
  taker: DomId,
  readonly: boolean,
  forCopy = false,
): Grant | number {
  if (!(ref >= 0) || ref >= entryCount(domain)) return GNTST.bad_gntref;
  const at = entryAt(domain, ref);
  const v2 = domain.get('grantVersion') === 2;
  const header = at >>> 2;
  const wanted = GTF_reading | (readonly ? 0 : GTF_writing);
  for (let i = 0; i < CMPXCHG_TRIES; i++) {
    const seen = Atomics.load(domain.u32, header);
    const flags = seen & 0xffff;
    if ((flags & GTF_type_mask) !== GTF_permit_access || seen >>> 16 !== taker) return GNTST.general_error;
    if (!readonly && (flags & GTF_readonly) !== 0) return GNTST.general_error;
    if (v2) {
      const status = statusAt(domain, ref) >>> 1;
      Atomics.or(domain.u16, status, wanted);
      // The guest ends a grant by clearing the flags and then looking at the status: look again in the other order.
      if (Atomics.load(domain.u32, header) !== seen) {
        Atomics.and(domain.u16, status, ~wanted);
        continue;
      }
      return readV2(domain, at, flags, forCopy);
    }
    if (Atomics.compareExchange(domain.u32, header, seen, (seen | wanted) >>> 0) === seen) {
      return { frame: domain.view.getUint32(at + GrantEntryV1.at.frame, true), offset: 0, length: PAGE_SIZE };
    }
  }
  return GNTST.general_error;
}

function readV2(domain: Domain, at: HostAddress, flags: number, forCopy: boolean): Grant {
  const { page_off, length, frame } = GrantEntryV2.read(domain.view, at);
  const subPage = forCopy && (flags & GTF_sub_page) !== 0;
  return { frame, offset: subPage ? page_off : 0, length: subPage ? length : PAGE_SIZE };
}

/** Clears in-use bits: writing when no writer is left, reading when nobody is. Under the lock. */
export function clearInUse(domain: Domain, ref: GrantRef, bits: number): void {
  // The guest may have changed the version since, and its table have fewer entries now.
  if (bits === 0 || ref >= entryCount(domain)) return;
  if (domain.get('grantVersion') === 2) Atomics.and(domain.u16, statusAt(domain, ref) >>> 1, ~bits);
  else Atomics.and(domain.u32, entryAt(domain, ref) >>> 2, ~bits);
}

/** The toolstack's entry for a ring it shares with domain 0. Under the lock. */
export function seed(domain: Domain, ref: GrantRef, mfn: number): void {
  GrantEntryV1.write(domain.view, entryAt(domain, ref), { frame: mfn, domid: 0, flags: GTF_permit_access });
}
