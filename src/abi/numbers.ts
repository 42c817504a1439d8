/**
 * Numbers from different spaces are different types, after xen/include/xen/mm-frame.h.
 *
 * The brands are optional properties: a plain number may become any of them, but one space never passes for another
 * (an `Mfn` handed to a function that wants a `Pfn` does not compile).
 */
declare const space: unique symbol;
type In<S extends string> = number & { readonly [space]?: S };

/** Frame number in a guest's own page tables: an MFN for a PV guest, a PFN for the others. */
export type Gfn = In<'gfn'>;
/** Frame of the memory that belongs to one domain; see src/hypervisor/domain-memory.ts. */
export type Mfn = In<'mfn'>;
/** Linear pseudo-physical frame. */
export type Pfn = In<'pfn'>;
/** Guest virtual address as a signed number: canonical addresses fit, kernel addresses are negative. */
export type Vaddr = In<'vaddr'>;
/** Byte offset in a domain's memory as the host sees it. */
export type HostAddress = In<'host'>;
export type DomId = In<'domid'>;
export type VcpuId = In<'vcpu'>;
/** End of an event channel within one domain. */
export type Port = In<'port'>;
/** Index into a grant table. */
export type GrantRef = In<'grant'>;
/** Nanoseconds of Xen's system time, which starts when the host starts; exact for 104 days. */
export type SystemTime = In<'time'>;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
const TWO_32 = 2 ** 32;

/** A 64-bit value as two unsigned halves: the form in which page-table entries and descriptors travel. */
export interface U64 {
  readonly lo: number;
  readonly hi: number;
}

/** The value of two halves as a signed number; exact for canonical addresses and everything else below 2^53. */
export function signedOf(lo: number, hi: number): number {
  return (hi | 0) * TWO_32 + (lo >>> 0);
}

/** The value of two halves as an unsigned number; exact below 2^53. */
export function unsignedOf(lo: number, hi: number): number {
  return (hi >>> 0) * TWO_32 + (lo >>> 0);
}

/** The low half of a number in two's complement. */
export function loOf(value: number): number {
  return value >>> 0;
}

/** The high half of a number in two's complement. */
export function hiOf(value: number): number {
  return Math.floor(value / TWO_32) >>> 0;
}

/** The sixteen digits that Xen prints for a 64-bit value. */
export function hex64(lo: number, hi: number): string {
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
}

export function hexAddress(va: Vaddr): string {
  return hex64(loOf(va), hiOf(va));
}
