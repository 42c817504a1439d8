/** A domain's frames for the builder and the backends. */
import { PAGE_SIZE } from '../abi/numbers.ts';
import type { GuestFrames } from './control.ts';
import type { Domain } from './domain.ts';
import { announceWrite } from './code-coherence.ts';

export class DomainFrames implements GuestFrames {
  readonly dataView: DataView;
  readonly base: number;
  readonly count: number;
  readonly #domain: Domain;

  constructor(domain: Domain) {
    this.#domain = domain;
    this.dataView = domain.view;
    this.base = domain.layout.framesAt;
    this.count = domain.layout.totalFrames;
  }

  has(mfn: number): boolean {
    return this.#domain.hasFrame(mfn);
  }

  view(mfn: number): Uint8Array {
    if (!this.has(mfn)) throw new RangeError(`domain ${this.#domain.domid} has no frame ${mfn}`);
    return this.#domain.frame(mfn);
  }

  bytes(address: number, length: number): Uint8Array {
    const end = address + length;
    if (!(address >= 0) || !(length >= 0) || end > this.count * PAGE_SIZE) {
      throw new RangeError(`domain ${this.#domain.domid} has no memory at ${address}, ${length} bytes`);
    }
    return this.#domain.u8.subarray(this.base + address, this.base + end);
  }

  wrote(mfn: number, offset: number, length: number): void {
    if (this.has(mfn)) announceWrite(this.#domain, this.base + mfn * PAGE_SIZE + offset, length);
  }
}
