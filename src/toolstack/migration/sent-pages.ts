/**
 * Which pages of a running domain have changed since they were sent. Their contents tell, by a hash of 64 bits: no
 * write of a guest, of a backend or of the hypervisor can pass unnoticed, and none of them gets slower for it.
 */
import xxhash, { type XXHashAPI } from 'xxhash-wasm';

export class SentPages {
  readonly #hash: XXHashAPI;
  readonly #hashes: BigUint64Array;
  readonly #sent: Uint8Array;

  private constructor(hash: XXHashAPI, pages: number) {
    this.#hash = hash;
    this.#hashes = new BigUint64Array(pages);
    this.#sent = new Uint8Array(pages);
  }

  static async of(pages: number): Promise<SentPages> {
    return new SentPages(await xxhash(), pages);
  }

  wasSent(pfn: number): boolean {
    return this.#sent[pfn] === 1;
  }

  /** Whether the receiver has other contents than these, or none; it is to be sent then. */
  isNew(pfn: number, page: Uint8Array): boolean {
    const hash = this.#hash.h64Raw(page);
    if (this.#sent[pfn] === 1 && this.#hashes[pfn] === hash) return false;
    this.#sent[pfn] = 1;
    this.#hashes[pfn] = hash;
    return true;
  }

  /** The receiver's page is to be none. */
  forget(pfn: number): void {
    this.#sent[pfn] = 0;
  }
}
