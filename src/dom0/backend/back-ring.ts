/**
 * The backend's half of a split device's ring. After xen/include/public/io/ring.h.
 *
 * All of it is the guest's to change at any time. A request is therefore copied once, whole, and looked at in the copy; of the
 * guest's indices only `req_prod` and `rsp_event` are read, the backend's own are kept here. A ring of several pages is a list of
 * frames that lie anywhere, and its slots may straddle them.
 */
import { SringHeader, indexDistance, ringSize, wantsNotify } from '../../abi/io/ring.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';

const WORDS_PER_PAGE = PAGE_SIZE / 4;
/** Words to pages. */
const PAGE_SHIFT = 10;
const HEADER_WORDS = SringHeader.size / 4;
const index = {
  req_prod: SringHeader.at.req_prod >> 2,
  req_event: SringHeader.at.req_event >> 2,
  rsp_prod: SringHeader.at.rsp_prod >> 2,
  rsp_event: SringHeader.at.rsp_event >> 2,
};

export class BackRing {
  readonly slots: number;
  readonly #pages: readonly Int32Array[];
  readonly #header: Int32Array;
  readonly #slotWords: number;
  #reqCons: number;
  #rspProd: number;
  #rspPushed: number;
  /** Up to here the frontend was asked whether it wants to hear of responses. */
  #rspTold: number;
  #broken: string | undefined;

  /**
   * Over the frames themselves, in the ring's order. Begins where the last backend's responses ended (BACK_RING_ATTACH), which
   * is 0 for a new ring. `slotSize`: bytes, of the larger of request and response; a multiple of 4.
   */
  constructor(pages: readonly Uint8Array[], slotSize: number) {
    const words = pages.map((page) => new Int32Array(page.buffer, page.byteOffset, WORDS_PER_PAGE));
    const [header] = words;
    if (header === undefined) throw new Error('a ring without pages');
    this.#pages = words;
    this.#header = header;
    this.#slotWords = slotSize / 4;
    this.slots = ringSize(pages.length, slotSize);
    this.#rspProd = this.#rspPushed = this.#rspTold = this.#reqCons = Atomics.load(header, index.rsp_prod) >>> 0;
  }

  /** What is wrong with the frontend's index, once it was: the ring stays halted (blkback's do_block_io_op, RING_REQUEST_PROD_OVERFLOW). */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Requests that the frontend has put in and nobody has taken. 0 for a halted ring. */
  get available(): number {
    if (this.#broken !== undefined) return 0;
    const prod = Atomics.load(this.#header, index.req_prod) >>> 0;
    const open = indexDistance(prod, this.#rspProd);
    const available = indexDistance(prod, this.#reqCons);
    if (open > this.slots || available > open) {
      this.#broken = `Frontend provided bogus ring requests (${prod} - ${this.#rspProd} = ${open})`;
      return 0;
    }
    return available;
  }

  /** Requests taken and not answered. */
  get unanswered(): number {
    return indexDistance(this.#reqCons, this.#rspProd);
  }

  /** Slots that the frontend's requests may still take up: what a device that answers unasked (netback's receive side) counts. */
  get consumed(): number {
    return this.#reqCons;
  }

  /** Copies the next request into `words`; false when there is none. */
  take(words: Int32Array): boolean {
    if (this.available === 0) return false;
    this.#copyOut(this.#reqCons, words);
    this.#reqCons = (this.#reqCons + 1) >>> 0;
    return true;
  }

  /** Copies the request `ahead` places after the next one, without taking it; false when there is none. */
  peek(words: Int32Array, ahead = 0): boolean {
    if (this.available <= ahead) return false;
    this.#copyOut((this.#reqCons + ahead) >>> 0, words);
    return true;
  }

  /**
   * RING_FINAL_CHECK_FOR_REQUESTS: asks the frontend to notify of the next request. True when one has come in the meantime, of
   * which it may not have notified.
   */
  finalCheck(): boolean {
    if (this.available > 0) return true;
    Atomics.store(this.#header, index.req_event, (this.#reqCons + 1) | 0);
    return this.available > 0;
  }

  /**
   * Whether so many requests are there. If not, asks the frontend to notify of the next one it puts in: for a device that needs
   * several at once (xen-netback's xenvif_rx_ring_slots_available).
   */
  has(count: number): boolean {
    // Twice, since one may have come before the frontend saw that it was to notify of it.
    for (let look = 0; look < 2; look++) {
      const available = this.available;
      if (available >= count) return true;
      Atomics.store(this.#header, index.req_event, (this.#reqCons + available + 1) | 0);
    }
    return this.available >= count;
  }

  /** Puts a response into the next slot; the frontend sees it with `push`. There may be as many as requests were taken. */
  respond(words: Int32Array): void {
    if (this.#rspProd === this.#reqCons) throw new Error('a response without a request');
    this.#copyIn(this.#rspProd, words);
    this.#rspProd = (this.#rspProd + 1) >>> 0;
  }

  /** RING_PUSH_RESPONSES_AND_CHECK_NOTIFY: true when the frontend wants to hear of it, or of what was published before. */
  push(): boolean {
    this.publish();
    const old = this.#rspTold;
    if (old === this.#rspProd) return false;
    this.#rspTold = this.#rspProd;
    return wantsNotify(Atomics.load(this.#header, index.rsp_event) >>> 0, old, this.#rspProd);
  }

  /** The frontend finds the responses if it looks. It may have to be told, by a `push` that follows, though not at once. */
  publish(): void {
    if (this.#rspPushed === this.#rspProd) return;
    this.#rspPushed = this.#rspProd;
    Atomics.store(this.#header, index.rsp_prod, this.#rspProd | 0);
  }

  /** Published responses from the one on that the frontend wants to hear of; 0 when it need not hear of any. */
  get overdue(): number {
    const event = Atomics.load(this.#header, index.rsp_event) >>> 0;
    return wantsNotify(event, this.#rspTold, this.#rspPushed) ? indexDistance(this.#rspPushed, event) + 1 : 0;
  }

  #copyOut(slot: number, into: Int32Array): void {
    let word = this.#wordOf(slot);
    const count = Math.min(into.length, this.#slotWords);
    for (let i = 0; i < count; i++, word++) {
      into[i] = this.#pages[word >>> PAGE_SHIFT]?.[word & (WORDS_PER_PAGE - 1)] ?? 0;
    }
  }

  #copyIn(slot: number, from: Int32Array): void {
    let word = this.#wordOf(slot);
    const count = Math.min(from.length, this.#slotWords);
    for (let i = 0; i < count; i++, word++) {
      const page = this.#pages[word >>> PAGE_SHIFT];
      if (page !== undefined) page[word & (WORDS_PER_PAGE - 1)] = from[i] ?? 0;
    }
  }

  #wordOf(slot: number): number {
    return HEADER_WORDS + (slot & (this.slots - 1)) * this.#slotWords;
  }
}
