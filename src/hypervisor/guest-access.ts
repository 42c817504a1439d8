/**
 * Hypercall arguments in guest memory. Addresses are guest virtual addresses in the kernel's view; a bad one gives
 * `undefined` or false, which the hypercall turns into -EFAULT. Guest memory is read once: what comes out of here is
 * a copy (xen/include/public/io/ring.h, RING_COPY_REQUEST, says why).
 */
import type { Struct, ValueOf } from '../abi/struct.ts';
import { HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START } from '../abi/arch-x86.ts';
import type { Vaddr } from '../abi/numbers.ts';
import { PAGE_SIZE, signedOf, unsignedOf } from '../abi/numbers.ts';
import type { Domain } from './domain.ts';
import type { Access, Processor } from './processor.ts';

const LOW_END = 0x8000_0000_0000;
const OFFSET_MASK = PAGE_SIZE - 1;
/** Larger than any hypercall's argument. */
const MAX_COPY = 65536;

// Two's complement of the low bits, also for negative addresses.
const pageOffset = (va: Vaddr): number => va & OFFSET_MASK;

export class GuestAccess {
  readonly #domain: Domain;
  readonly #processor: Processor;
  readonly #scratch = new Uint8Array(MAX_COPY);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  constructor(domain: Domain, processor: Processor) {
    this.#domain = domain;
    this.#processor = processor;
  }

  /** access_ok: canonical and outside the hypervisor's own addresses. */
  allowed(va: Vaddr, length: number): boolean {
    if (va >= 0) return va + length <= LOW_END;
    return va >= HYPERVISOR_VIRT_END && va + length <= 0;
  }

  /** Host address of `length` bytes that lie within one page, or 0. */
  #at(va: Vaddr, access: Access): number {
    return this.#processor.translate(va, access);
  }

  /** An aligned u32; undefined on a fault. */
  readU32(va: Vaddr): number | undefined {
    if (!this.allowed(va, 4)) return undefined;
    if (pageOffset(va) > PAGE_SIZE - 4) {
      const view = this.#copyIn(va, 4);
      return view?.getUint32(0, true);
    }
    const at = this.#at(va, 'read');
    return at === 0 ? undefined : this.#domain.view.getUint32(at, true);
  }

  readU64(va: Vaddr): number | undefined {
    const view = this.#copyIn(va, 8);
    return view === undefined ? undefined : unsignedOf(view.getUint32(0, true), view.getUint32(4, true));
  }

  /** A 64-bit guest address or signed number. */
  readS64(va: Vaddr): Vaddr | undefined {
    const view = this.#copyIn(va, 8);
    return view === undefined ? undefined : signedOf(view.getUint32(0, true), view.getUint32(4, true));
  }

  writeU32(va: Vaddr, value: number): boolean {
    this.#scratchView.setUint32(0, value, true);
    return this.#copyOut(va, 4);
  }

  writeU64(va: Vaddr, lo: number, hi: number): boolean {
    this.#scratchView.setUint32(0, lo, true);
    this.#scratchView.setUint32(4, hi, true);
    return this.#copyOut(va, 8);
  }

  read<F>(type: Struct<F>, va: Vaddr): ValueOf<Struct<F>> | undefined {
    const view = this.#copyIn(va, type.size);
    return view === undefined ? undefined : (type.read(view, 0) as ValueOf<Struct<F>>);
  }

  /** Writes the fields that are present; the others keep what the guest has there. */
  write<F>(type: Struct<F>, va: Vaddr, value: Parameters<Struct<F>['write']>[2]): boolean {
    if (this.#copyIn(va, type.size) === undefined) return false;
    type.write(this.#scratchView, 0, value);
    return this.#copyOut(va, type.size);
  }

  /** The bytes in a view that is valid until the next call here; at most 64 KiB. */
  view(va: Vaddr, length: number): DataView | undefined {
    return this.#copyIn(va, length);
  }

  bytes(va: Vaddr, length: number): Uint8Array | undefined {
    return this.#copyIn(va, length) === undefined ? undefined : this.#scratch.slice(0, length);
  }

  writeBytes(va: Vaddr, bytes: Uint8Array): boolean {
    if (bytes.length > MAX_COPY) return false;
    this.#scratch.set(bytes);
    return this.#copyOut(va, bytes.length);
  }

  #copyIn(va: Vaddr, length: number): DataView | undefined {
    if (length > MAX_COPY || !this.allowed(va, length)) return undefined;
    for (let done = 0; done < length;) {
      const from = va + done;
      const part = Math.min(length - done, PAGE_SIZE - pageOffset(from));
      const at = this.#at(from, 'read');
      if (at === 0) return undefined;
      if (part <= 32) for (let i = 0; i < part; i++) this.#scratch[done + i] = this.#domain.u8[at + i] ?? 0;
      else this.#scratch.set(this.#domain.u8.subarray(at, at + part), done);
      done += part;
    }
    return this.#scratchView;
  }

  #copyOut(va: Vaddr, length: number): boolean {
    if (!this.allowed(va, length)) return false;
    for (let done = 0; done < length;) {
      const to = va + done;
      const offset = pageOffset(to);
      const part = Math.min(length - done, PAGE_SIZE - offset);
      const at = this.#at(to, 'write');
      if (at === 0) return false;
      if (part <= 32) for (let i = 0; i < part; i++) this.#domain.u8[at + i] = this.#scratch[done + i] ?? 0;
      else this.#domain.u8.set(this.#scratch.subarray(done, done + part), at);
      this.#processor.frameWritten((at - this.#domain.layout.framesAt - offset) / PAGE_SIZE, offset, part);
      done += part;
    }
    return true;
  }
}

/** True in the part of the address space that belongs to Xen. */
export function isHypervisorAddress(va: Vaddr): boolean {
  return va >= HYPERVISOR_VIRT_START && va < HYPERVISOR_VIRT_END;
}
