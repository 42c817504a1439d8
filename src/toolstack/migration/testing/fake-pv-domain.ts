/** A PV domain of a few pages, with the tables that a kernel has; what is done to it is kept. */
import { CpuUserRegs, SharedInfo, VcpuGuestContext } from '../../../abi/arch-x86.ts';
import { PTE, slotOf } from '../../../abi/arch-x86/page-table.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import { StartInfo } from '../../../abi/start-info.ts';
import type { DomainInfo, GuestFrames, VcpuExtended, VcpuInfo } from '../../../hypervisor/control.ts';
import type { RestorableDomain } from '../libxc-restore.ts';
import type { SavableDomain } from '../libxc-save.ts';
import { viewOf } from '../records.ts';

export const PAGES = 64;
/** Two pages that lie where the other would. */
const swapped = new Map([
  [20, 30],
  [30, 20],
]);
const mfnOf = (page: number): number => swapped.get(page) ?? page;

/** PFNs; page 20 is a table, so its MFN is not its number. */
export const pages = {
  startInfo: 1,
  store: 2,
  console: 3,
  l4: 4,
  l3: 5,
  l2: 6,
  l1: 20,
  p2m: 8,
  gdt: 9,
  absent: 11,
} as const;
const P2M_VADDR = -0x7780_0000_0000;
const levels = new Map([
  [pages.l4, 4],
  [pages.l3, 3],
  [pages.l2, 2],
  [pages.l1, 1],
] as [number, number][]);

export class FakePvDomain implements SavableDomain, RestorableDomain {
  readonly memory = new Uint8Array((PAGES + 1) * PAGE_SIZE);
  readonly sharedInfoMfn = PAGES;
  readonly maxPages: number;
  readonly populated = new Set<number>();
  readonly pinned = new Map<number, number>();
  readonly grants = new Map<number, number>();
  readonly vcpus = new Map<number, { readonly context: Uint8Array; readonly extended: VcpuExtended }>();
  readonly frames: GuestFrames;
  /** What CPUID answers for features, in all registers. */
  features = 0;
  /** It stands still. */
  pauses = 0;
  #ports = 0;

  constructor(maxPages = PAGES) {
    this.maxPages = maxPages;
    this.frames = {
      base: 0,
      count: PAGES + 1,
      dataView: viewOf(this.memory),
      has: (mfn) => Number.isInteger(mfn) && mfn >= 0 && mfn <= PAGES,
      view: (mfn) => this.frames.bytes(mfn * PAGE_SIZE, PAGE_SIZE),
      bytes: (address, length) => {
        if (address < 0 || address + length > this.memory.length) throw new RangeError('no such memory');
        return this.memory.subarray(address, address + length);
      },
      wrote: () => undefined,
    };
  }

  /** A running kernel with two vCPUs. */
  static kernel(): FakePvDomain {
    const domain = new FakePvDomain();
    for (let page = 0; page < PAGES; page++) {
      if (page === pages.absent) continue;
      domain.populated.add(page);
      domain.page(page).fill(page);
    }
    const entry = (table: number, slot: number, target: number): void => {
      const view = viewOf(domain.page(table));
      view.setUint32(slot * 8, ((mfnOf(target) << 12) | PTE.P | PTE.RW) >>> 0, true);
      view.setUint32(slot * 8 + 4, 0, true);
    };
    for (const table of levels.keys()) domain.page(table).fill(0);
    entry(pages.l4, slotOf(P2M_VADDR, 4), pages.l3);
    entry(pages.l3, slotOf(P2M_VADDR, 3), pages.l2);
    entry(pages.l2, slotOf(P2M_VADDR, 2), pages.l1);
    entry(pages.l1, slotOf(P2M_VADDR, 1), pages.p2m);
    entry(pages.l1, 7, 30);
    SharedInfo.write(viewOf(domain.frames.view(PAGES)), 0, {
      max_pfn: PAGES,
      p2m_cr3: mfnOf(pages.l4) * PAGE_SIZE,
      p2m_vaddr: P2M_VADDR,
      evtchn_pending: new Uint8Array(512).fill(0xff),
    });
    StartInfo.write(viewOf(domain.page(pages.startInfo)), 0, {
      nr_pages: PAGES,
      store_mfn: mfnOf(pages.store),
      console_mfn: mfnOf(pages.console),
      store_evtchn: 7,
      console_evtchn: 8,
    });
    domain.pinned.set(pages.l4, 4);
    for (const vcpu of [0, 1]) domain.vcpus.set(vcpu, { context: contextOf(vcpu), extended: extendedOf(vcpu) });
    return domain;
  }

  page(pfn: number): Uint8Array {
    return this.frames.view(mfnOf(pfn));
  }

  info(): DomainInfo {
    return {
      domid: 1,
      handle: new Uint8Array(16),
      dying: false,
      shutdown: true,
      shutdownReason: 2,
      paused: false,
      blocked: false,
      running: false,
      totPages: this.populated.size,
      maxPages: this.maxPages,
      sharedInfoMfn: PAGES,
      cpuTimeNs: 0,
      nrOnlineVcpus: this.vcpus.size,
      maxVcpuId: 1,
    };
  }

  vcpuInfo(vcpu: number): VcpuInfo {
    const online = this.vcpus.has(vcpu);
    return { vcpu, online, blocked: true, running: false, cpuTimeNs: 0, instructions: 0, cpu: 0 };
  }

  pause(): void {
    this.pauses++;
  }

  unpause(): void {
    this.pauses--;
  }

  pfnOf(mfn: number): number | undefined {
    const page = mfnOf(mfn);
    return this.populated.has(page) ? page : undefined;
  }

  frameType(mfn: number): { level: number; pinned: boolean } {
    const page = mfnOf(mfn);
    return { level: levels.get(page) ?? 0, pinned: this.pinned.has(page) };
  }

  getVcpuContext(vcpu: number): Uint8Array | undefined {
    return this.vcpus.get(vcpu)?.context.slice();
  }

  vcpuExtended(vcpu: number): VcpuExtended {
    return this.vcpus.get(vcpu)?.extended ?? extendedOf(0);
  }

  tscInfo(): { mode: number; khz: number; nsec: number; incarnation: number } {
    return { mode: 0, khz: 1_000_000, nsec: 12_345_678_901, incarnation: 0 };
  }

  cpuid(leaf: number): readonly [number, number, number, number] {
    if (leaf === 0) return [0x16, 0, 0, 0];
    if (leaf === 0x8000_0000) return [0x8000_0008, 0, 0, 0];
    return [0, this.features, this.features, this.features];
  }

  allocUnbound(): number {
    return ++this.#ports;
  }

  populatePhysmap(pfns: readonly number[]): void {
    for (const pfn of pfns) this.populated.add(pfn);
  }

  pinTable(mfn: number, level: number): void {
    this.pinned.set(mfn, level);
  }

  restoreVcpu(vcpu: number, context: Uint8Array, extended: VcpuExtended): void {
    this.vcpus.set(vcpu, { context: context.slice(), extended });
  }

  seedGrant(ref: number, mfn: number): void {
    this.grants.set(ref, mfn);
  }
}

function extendedOf(vcpu: number): VcpuExtended {
  return {
    syscall32Callback: -0x7f00_0000,
    sysenterCallback: 0,
    syscall32DisablesEvents: true,
    sysenterDisablesEvents: false,
    tscAux: vcpu,
  };
}

function contextOf(vcpu: number): Uint8Array {
  const context = new Uint8Array(VcpuGuestContext.size);
  const view = viewOf(context);
  const zero = { lo: 0, hi: 0 };
  const address = (page: number): { lo: number; hi: number } => ({ lo: mfnOf(page) * PAGE_SIZE, hi: 0 });
  VcpuGuestContext.write(view, 0, {
    gdt_ents: 16,
    gdt_frames: [mfnOf(pages.gdt), ...Array<number>(15).fill(0)],
    // A user table for the second.
    ctrlreg: [zero, vcpu === 0 ? zero : address(pages.l4), zero, address(pages.l4), zero, zero, zero, zero],
  });
  CpuUserRegs.write(view, VcpuGuestContext.at.user_regs, {
    rdx: { lo: mfnOf(pages.startInfo), hi: 0 },
    rip: -0x7eff_0000,
  });
  return context;
}
