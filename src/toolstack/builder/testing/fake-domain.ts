/** A stand-in for the hypervisor in tests of the builder: memory, and a record of what was asked. */
import { Errno } from '../../../abi/errno.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import type { BuildTarget } from '../pv-builder.ts';
import { HypercallError, type GuestFrames, type VcpuContext } from '../../../hypervisor/control.ts';

export class FakeDomain implements BuildTarget {
  readonly domid = 5;
  readonly sharedInfoMfn: number;
  readonly #limit: number;
  #memory = new Uint8Array();
  #nextPort = 1;
  readonly asked: string[] = [];
  context: VcpuContext | undefined;
  hypercallPage: number | undefined;

  constructor(maxPages: number) {
    this.#limit = maxPages;
    this.sharedInfoMfn = maxPages;
  }

  get frames(): GuestFrames {
    const memory = this.#memory;
    const bytes = (address: number, length: number): Uint8Array => {
      if (address < 0 || address + length > memory.length) throw new RangeError(`no memory at ${address}`);
      return memory.subarray(address, address + length);
    };
    return {
      view: (mfn) => bytes(mfn * PAGE_SIZE, PAGE_SIZE),
      has: (mfn) => (mfn + 1) * PAGE_SIZE <= memory.length,
      bytes,
      dataView: new DataView(memory.buffer),
      base: 0,
      count: memory.length / PAGE_SIZE,
      wrote: () => undefined,
    };
  }

  populate(nrPages: number): void {
    if (nrPages > this.#limit) throw new HypercallError(Errno.ENOMEM, 'populate_physmap');
    this.#memory = new Uint8Array(nrPages * PAGE_SIZE);
  }

  hypercallInit(mfn: number): void {
    this.hypercallPage = mfn;
  }

  allocUnbound(remoteDomid: number): number {
    this.asked.push(`allocUnbound ${remoteDomid}`);
    return this.#nextPort++;
  }

  seedGrant(ref: number, mfn: number): void {
    this.asked.push(`seedGrant ${ref} ${mfn}`);
  }

  pinTable(mfn: number, level: number): void {
    this.asked.push(`pin L${level} ${mfn}`);
  }

  setVcpuContext(vcpu: number, context: VcpuContext): void {
    this.asked.push(`setVcpuContext ${vcpu}`);
    this.context = context;
  }

  setSymbols(): void {
    this.asked.push('setSymbols');
  }

  /** Follows the page tables; the entry of the page, or 0. */
  entryOf(va: number): number {
    let mfn = this.context?.cr3Mfn ?? 0;
    for (const bits of [39, 30, 21]) {
      const entry = this.#entry(mfn, Math.floor(va / 2 ** bits) & 511);
      if ((entry & 1) === 0) return 0;
      mfn = Math.floor(entry / PAGE_SIZE);
    }
    return this.#entry(mfn, Math.floor(va / PAGE_SIZE) & 511);
  }

  #entry(mfn: number, index: number): number {
    const at = mfn * PAGE_SIZE + index * 8;
    const view = this.frames.dataView;
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }
}
