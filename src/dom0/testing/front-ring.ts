/** The guest's half of a split device's ring, as far as tests need it; after xen/include/public/io/ring.h. */
import { SringHeader, ringSize, wantsNotify } from '../../abi/io/ring.ts';
import type { FakeDomain } from './fake-hypervisor.ts';

const at = SringHeader.at;

export class FrontRing {
  readonly slots: number;
  /** References of the ring's pages. */
  readonly refs: readonly number[];
  readonly pages: readonly Uint8Array[];
  readonly #header: DataView;
  readonly #slotSize: number;
  reqProd = 0;
  rspCons = 0;
  #pushed = 0;

  /** SHARED_RING_INIT in these frames, which need not follow each other. */
  constructor(domain: FakeDomain, mfns: readonly number[], slotSize: number) {
    this.pages = mfns.map((mfn) => domain.frames.view(mfn));
    const [first] = this.pages;
    if (first === undefined) throw new Error('a ring without pages');
    for (const page of this.pages) page.fill(0);
    this.#header = new DataView(first.buffer, first.byteOffset, first.byteLength);
    this.#slotSize = slotSize;
    this.slots = ringSize(mfns.length, slotSize);
    this.refs = mfns.map((mfn) => domain.grant(mfn));
    this.setWord('req_event', 1);
    this.setWord('rsp_event', 1);
  }

  /** Puts a request in; `push` lets the backend see it. */
  put(request: Uint8Array): void {
    this.#copy(this.reqProd, request, 'in');
    this.reqProd = (this.reqProd + 1) >>> 0;
  }

  /** True when the backend wants to hear of it. */
  push(): boolean {
    const old = this.#pushed;
    this.#pushed = this.reqProd;
    this.setWord('req_prod', this.reqProd);
    return wantsNotify(this.word('req_event'), old, this.reqProd);
  }

  /** The next response's bytes; undefined when there is none, and then asks to be told of it. */
  take(size: number): Uint8Array | undefined {
    if (this.rspCons === this.word('rsp_prod')) {
      this.setWord('rsp_event', this.rspCons + 1);
      return undefined;
    }
    const response = new Uint8Array(size);
    this.#copy(this.rspCons, response, 'out');
    this.rspCons = (this.rspCons + 1) >>> 0;
    return response;
  }

  word(name: 'req_prod' | 'req_event' | 'rsp_prod' | 'rsp_event'): number {
    return this.#header.getUint32(at[name], true);
  }

  setWord(name: 'req_prod' | 'req_event' | 'rsp_prod' | 'rsp_event', value: number): void {
    this.#header.setUint32(at[name], value >>> 0, true);
  }

  #copy(index: number, bytes: Uint8Array, way: 'in' | 'out'): void {
    const start = SringHeader.size + (index & (this.slots - 1)) * this.#slotSize;
    bytes.forEach((byte, i) => {
      const page = this.pages[Math.floor((start + i) / 4096)];
      if (page === undefined) return;
      if (way === 'in') page[(start + i) % 4096] = byte;
      else bytes[i] = page[(start + i) % 4096] ?? 0;
    });
  }
}
