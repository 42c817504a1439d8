/** Where the platform cannot tell what a guest writes, the contents of its pages do, by a hash of 64 bits: no write of whomever can pass unnoticed. */
import xxhash, { type XXHashAPI } from 'xxhash-wasm';
import type { GuestFrames } from '../../hypervisor/control.ts';
import type { SentPages } from './sent-pages.ts';

export class HashedPages implements SentPages {
  readonly #frames: GuestFrames;
  readonly #hash: XXHashAPI;
  readonly #hashes: BigUint64Array;
  readonly #sent: Uint8Array;

  private constructor(frames: GuestFrames, hash: XXHashAPI, pages: number) {
    this.#frames = frames;
    this.#hash = hash;
    this.#hashes = new BigUint64Array(pages);
    this.#sent = new Uint8Array(pages);
  }

  static async of(frames: GuestFrames, pages: number): Promise<HashedPages> {
    return new HashedPages(frames, await xxhash(), pages);
  }

  begin(): void {
    // Each page is looked at anyway.
  }

  wasSent(pfn: number): boolean {
    return this.#sent[pfn] === 1;
  }

  take(pfn: number, mfn: number): Uint8Array | undefined {
    // A copy: what is compared with later is what is sent, whatever the guest writes meanwhile.
    const page = this.#frames.view(mfn).slice();
    const hash = this.#hash.h64Raw(page);
    if (this.#sent[pfn] === 1 && this.#hashes[pfn] === hash) return undefined;
    this.#sent[pfn] = 1;
    this.#hashes[pfn] = hash;
    return page;
  }

  forget(pfn: number): void {
    this.#sent[pfn] = 0;
  }

  end(): void {
    // Nothing but memory is held.
  }
}
