/**
 * The requests that make up one packet of the transmit ring. After xen/include/public/io/netif.h and what Linux' netback takes and
 * refuses (drivers/net/xen-netback/netback.c, xenvif_tx_build_gops and xenvif_count_requests).
 *
 * Each slot is copied once and looked at in the copy. Requests that were taken stay with the ring's owner until they are answered:
 * one answer for each, in order, whatever became of the packet.
 */
import {
  NETTXF_extra_info,
  NETTXF_more_data,
  NETIF_TX_SLOT_SIZE,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE,
  XEN_NETIF_EXTRA_TYPE_MAX,
  XEN_NETIF_NR_SLOTS_MIN,
} from '../../../abi/io/netif.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import type { BackRing } from '../../backend/index.ts';
import { ethernetHeaderLength } from '../link.ts';

/** Slots behind the first at which a frontend counts as malicious: Linux' fatal_skb_slots. */
const FATAL_SLOTS = 20;

export interface TxSlot {
  readonly gref: number;
  readonly offset: number;
  size: number;
}

export interface GsoInfo {
  readonly type: number;
  readonly size: number;
}

export interface TxPacket {
  /** The request's flags, NETTXF_*. */
  readonly flags: number;
  /** All slots' data together. */
  readonly size: number;
  /** In order; empty when the packet is not to be sent. */
  readonly slots: readonly TxSlot[];
  readonly gso: GsoInfo | undefined;
  /** Addresses of multicast groups to be added and removed; a packet with one is none that is sent. */
  readonly joins: Uint8Array | undefined;
  readonly leaves: Uint8Array | undefined;
  /** Why it is answered with an error instead of being sent. */
  readonly refused: string | undefined;
}

/** What was taken from the ring and is to be answered: an id, or `EXTRA` for a slot with an extra info. */
export const EXTRA = -1;

/** The frontend has broken the protocol; the device is to be stopped. */
export class TxFatal {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const slotWords = new Int32Array(NETIF_TX_SLOT_SIZE / 4);
const [GREF, OFFSET_FLAGS, ID_SIZE] = [0, 1, 2];

/**
 * Takes the next packet's requests. Their ids, and EXTRA, go to the end of `taken`. The ring has at least one request.
 */
export function takePacket(ring: BackRing, taken: number[]): TxPacket | TxFatal {
  if (!ring.take(slotWords)) return new TxFatal('no request');
  const flags = flagsOf(slotWords);
  const first = readSlot(taken);
  const { size } = first;
  let extras: Extras = noExtras;
  if ((flags & NETTXF_extra_info) !== 0) {
    extras = {};
    const wrong = takeExtras(ring, taken, extras);
    if (wrong !== undefined) return wrong;
  }
  const { joins, leaves, gso } = extras;
  // Requests about multicast have no data, and no slots behind them.
  if (joins !== undefined || leaves !== undefined)
    return { flags, size, slots: [], gso: undefined, joins, leaves, refused: undefined };

  const slots: TxSlot[] = [first];
  let refused: string | undefined;
  if ((flags & NETTXF_more_data) !== 0) {
    const wrong = takeSlots(ring, taken, slots);
    if (wrong instanceof TxFatal) return wrong;
    refused = wrong;
  }
  if (refused === undefined) {
    if (size < ethernetHeaderLength) refused = `Bad packet size: ${size}`;
    else if (first.offset + first.size > PAGE_SIZE)
      return new TxFatal(`txreq.offset: ${first.offset}, size: ${first.size}, crosses a page`);
  }
  return { flags, size, slots: refused === undefined ? slots : [], gso, joins, leaves, refused };
}

const flagsOf = (words: Int32Array): number => (words[OFFSET_FLAGS] ?? 0) >>> 16;

function readSlot(taken: number[]): TxSlot {
  const offsetFlags = slotWords[OFFSET_FLAGS] ?? 0;
  const idSize = slotWords[ID_SIZE] ?? 0;
  taken.push(idSize & 0xffff);
  return {
    gref: (slotWords[GREF] ?? 0) >>> 0,
    offset: offsetFlags & 0xffff,
    size: idSize >>> 16,
  };
}

/** The last of each type. */
interface Extras {
  gso?: GsoInfo;
  joins?: Uint8Array;
  leaves?: Uint8Array;
}

const noExtras: Extras = {};

function takeExtras(ring: BackRing, taken: number[], extras: Extras): TxFatal | undefined {
  for (let more = true; more;) {
    if (!ring.take(slotWords)) return new TxFatal('Missing extra info');
    taken.push(EXTRA);
    const low = slotWords[0] ?? 0;
    const high = slotWords[1] ?? 0;
    const type = low & 0xff;
    if (type === XEN_NETIF_EXTRA_TYPE.NONE || type >= XEN_NETIF_EXTRA_TYPE_MAX)
      return new TxFatal(`Invalid extra type: ${type}`);
    if (type === XEN_NETIF_EXTRA_TYPE.GSO) extras.gso = { size: low >>> 16, type: high & 0xff };
    else if (type === XEN_NETIF_EXTRA_TYPE.MCAST_ADD) extras.joins = address(low, high);
    else if (type === XEN_NETIF_EXTRA_TYPE.MCAST_DEL) extras.leaves = address(low, high);
    more = ((low >>> 8) & XEN_NETIF_EXTRA_FLAG_MORE) !== 0;
  }
  return undefined;
}

function address(low: number, high: number): Uint8Array {
  return Uint8Array.of(low >>> 16, low >>> 24, high, high >>> 8, high >>> 16, high >>> 24);
}

/** The slots behind the first; what is left of the packet's size is the first one's. */
function takeSlots(ring: BackRing, taken: number[], slots: TxSlot[]): TxFatal | string | undefined {
  const [first] = slots;
  let refused: string | undefined;
  let more = first !== undefined;
  for (let count = 0; more; count++) {
    if (count >= FATAL_SLOTS) return new TxFatal(`Malicious frontend using ${count} slots, threshold ${FATAL_SLOTS}`);
    if (count >= XEN_NETIF_NR_SLOTS_MIN)
      refused ??= `Too many slots (${count}) exceeding limit ${XEN_NETIF_NR_SLOTS_MIN}`;
    if (!ring.take(slotWords)) return new TxFatal(`Asked for ${count} slots but exceeds this limit`);
    const flags = flagsOf(slotWords);
    const slot = readSlot(taken);
    // A packet of 64 KiB and more has overflown its size; such frontends are buggy, not malicious.
    if (first === undefined || slot.size > first.size)
      refused ??= `Invalid tx request, slot size ${slot.size} > remaining size ${first?.size ?? 0}`;
    else if (refused === undefined) first.size -= slot.size;
    if (slot.offset + slot.size > PAGE_SIZE)
      return new TxFatal(`Cross page boundary, txp->offset: ${slot.offset}, size: ${slot.size}`);
    if (refused === undefined) slots.push(slot);
    more = (flags & NETTXF_more_data) !== 0;
  }
  return refused;
}
