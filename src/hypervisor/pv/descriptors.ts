/** Reading descriptors as the processor would, and Xen's own part of the GDT. */
import { FIRST_RESERVED_GDT_ENTRY } from '../../abi/arch-x86.ts';
import { FIRST_RESERVED_GDT_PAGE } from '../../abi/arch-x86/xen-x86_64.ts';
import type { Domain } from '../domain.ts';
import { PAGE_SIZE, signedOf } from '../../abi/numbers.ts';
import type { PvVcpu } from './pv-vcpu.ts';

/** Where the reserved page of the GDT lies in the PV platform's domain block. */
const GDT_PAGE_OFFSET = 8192;

/** Flat segments for ring 3, by selector. After the GDTs in xen/arch/x86/desc.c. */
const reservedDescriptors: readonly { readonly selector: number; readonly lo: number; readonly hi: number }[] = [
  { selector: 0xe023, lo: 0x0000ffff, hi: 0x00cffb00 }, // 32-bit code
  { selector: 0xe02b, lo: 0x0000ffff, hi: 0x00cff300 }, // data
  { selector: 0xe033, lo: 0x00000000, hi: 0x00affb00 }, // 64-bit code
];

export function buildReservedGdtPage(domain: Domain): void {
  const at = domain.layout.pvDomainAt + GDT_PAGE_OFFSET;
  for (const { selector, lo, hi } of reservedDescriptors) {
    const entry = at + (((selector >>> 3) - FIRST_RESERVED_GDT_ENTRY) << 3);
    domain.view.setUint32(entry, lo, true);
    domain.view.setUint32(entry + 4, hi, true);
  }
}

/** Tells the processor where the GDT is: the guest's pages, then Xen's. Until set_gdt the guest's read as not present. */
export function loadGdt(pv: PvVcpu): void {
  const { cpu, state, domain } = pv;
  for (let page = 0; page < FIRST_RESERVED_GDT_PAGE; page++) {
    const mfn = state.gdtFrame(page);
    cpu.setGdtPage(page, mfn === 0 && page * 512 >= state.word('gdtEnts') ? 0 : domain.frameAt(mfn));
  }
  cpu.setGdtPage(FIRST_RESERVED_GDT_PAGE, domain.layout.pvDomainAt + GDT_PAGE_OFFSET);
  cpu.setGdtPage(15, 0);
  // The limit covers Xen's entries always; what is missing before them reads as not present.
  cpu.gdtLimit = (FIRST_RESERVED_GDT_PAGE + 1) * PAGE_SIZE - 1;
}

export function loadLdt(pv: PvVcpu): void {
  const { cpu, state } = pv;
  const entries = state.word('ldtEnts');
  cpu.ldtBase = entries === 0 ? 0 : state.address('ldtBase');
  cpu.ldtLimit = entries * 8 - 1;
}

const TI = 4;
const S = 1 << 12;
const P = 1 << 15;
const CODE = 1 << 11;
const READABLE_OR_WRITABLE = 1 << 9;
const L = 1 << 21;
/** Bits of a descriptor's upper half that are set in a code segment for 64-bit mode that is present. */
export const LONG_CODE_SEGMENT = S | P | CODE | L;

/** A descriptor read from the GDT or LDT; reused, so that reading allocates nothing. */
export class DescriptorReader {
  lo = 0;
  hi = 0;
  readonly #pv: PvVcpu;

  constructor(pv: PvVcpu) {
    this.#pv = pv;
  }

  /** False: beyond the table, or its page is not there. */
  read(selector: number): boolean {
    const { domain, state, processor } = this.#pv;
    const index = selector >>> 3;
    let at: number;
    if ((selector & TI) !== 0) {
      if (index >= state.word('ldtEnts')) return false;
      at = processor.translate(state.address('ldtBase') + index * 8, 'read');
    } else if (index >= FIRST_RESERVED_GDT_ENTRY) {
      if (index >= FIRST_RESERVED_GDT_ENTRY + 512) return false;
      at = domain.layout.pvDomainAt + GDT_PAGE_OFFSET + ((index - FIRST_RESERVED_GDT_ENTRY) << 3);
    } else {
      if (index >= state.word('gdtEnts')) return false;
      at = domain.frameAt(state.gdtFrame(index >>> 9)) + ((index & 511) << 3);
    }
    if (at === 0) return false;
    this.lo = domain.u32[at >>> 2] ?? 0;
    this.hi = domain.u32[(at >>> 2) + 1] ?? 0;
    return true;
  }

  get isPresentCode(): boolean {
    return (this.hi & (S | P | CODE)) === (S | P | CODE);
  }

  /** A segment that DS, ES, FS or GS may be loaded with at CPL 3. */
  get isReadable(): boolean {
    return (
      (this.hi & (S | P)) === (S | P) &&
      ((this.hi & CODE) === 0 || (this.hi & READABLE_OR_WRITABLE) !== 0) &&
      ((this.hi >>> 13) & 3) === 3
    );
  }

  /** A segment that SS may be loaded with at CPL 3. */
  get isStack(): boolean {
    return (
      (this.hi & (S | P | CODE | READABLE_OR_WRITABLE)) === (S | P | READABLE_OR_WRITABLE) &&
      ((this.hi >>> 13) & 3) === 3
    );
  }

  get is64Bit(): boolean {
    return (this.hi & L) !== 0;
  }

  get base(): number {
    return signedOf(((this.lo >>> 16) | ((this.hi & 0xff) << 16) | (this.hi & 0xff000000)) >>> 0, 0);
  }
}
