/**
 * The ring of the split devices (block, network, …). After xen/include/public/io/ring.h.
 *
 * Indices run freely through 32 bits; the slot of an index is its remainder by the ring's size, a power of two. Requests and
 * responses share the slots, so a slot is as large as the larger of the two.
 */
import { bytes, struct, u32 } from '../struct.ts';

/** struct XXX_sring without its slots, which begin right behind. */
export const SringHeader = struct(
  'sring',
  { req_prod: u32, req_event: u32, rsp_prod: u32, rsp_event: u32, pad: bytes(48) },
  64,
);

/** Number of slots in a ring of `pages` pages: __RD32 of what fits, i.e. rounded down to a power of two. */
export function ringSize(pages: number, slotSize: number): number {
  return 2 ** Math.floor(Math.log2((pages * 4096 - SringHeader.size) / slotSize));
}

/** How far `producer` is ahead of `consumer`, through wrap-around. More than the ring's size means that one of them lies. */
export function indexDistance(producer: number, consumer: number): number {
  return (producer - consumer) >>> 0;
}

/** RING_PUSH_*_AND_CHECK_NOTIFY: whether the other end asked to hear of one of the slots `from` … `to - 1`. */
export function wantsNotify(event: number, from: number, to: number): boolean {
  return (to - event) >>> 0 < (to - from) >>> 0;
}
