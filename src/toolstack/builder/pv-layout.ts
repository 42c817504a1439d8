/**
 * Where everything of a new PV domain goes, computed before a byte is written. The order and the addresses are those
 * of libxc's domain builder, which guests depend on: Linux reuses the first three page-table frames, relies on the
 * slack behind the boot stack, and computes the addresses of tables from their place in the first mapping.
 */
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { BuildError } from './build-error.ts';
import { domainBuilder, hex, type BuildLog } from './build-log.ts';
import { isGuests, type PvKernel } from './kernel-image.ts';
import { PageTablePlan } from './page-table-plan.ts';

/** Consecutive frames with one purpose. `va` is where the first mapping has, or would have, them. */
export interface Area {
  readonly pfn: number;
  readonly pages: number;
  readonly va: number;
}

export interface PvLayout {
  readonly nrPages: number;
  readonly kernel: Area;
  readonly ramdisk: Area | undefined;
  readonly ramdiskIsMapped: boolean;
  readonly startInfo: Area;
  readonly xenstore: Area;
  readonly console: Area;
  readonly pageTables: Area;
  readonly bootStack: Area;
  /** End of the first mapping, whose start is the kernel's VIRT_BASE. */
  readonly virtPgtabEnd: number;
  /** The list itself, and the tables that map it when the kernel chose an address of its own. */
  readonly p2m: Area;
  readonly p2mVa: number;
  readonly p2mTables: number;
  readonly tables: PageTablePlan;
}

/** What Linux expects to find mapped behind the boot stack (linux: arch/x86/xen/mmu_pv.c, xen_setup_kernel_pagetable). */
const SLACK_PAGES = (512 * 1024) / PAGE_SIZE;
const MAP_ALIGN = 4 << 20;
const ENTRY_SIZE = 8;

/** Throws BuildError when the domain has too little memory. */
export function layOut(kernel: PvKernel, ramdiskSize: number, nrPages: number, log: BuildLog): PvLayout {
  const space = new FrameSpace(kernel.virtBase, nrPages, log);
  const tables = new PageTablePlan();
  const p2mPages = pagesOf(nrPages * ENTRY_SIZE);

  space.padTo(Math.floor(kernel.virtStart / PAGE_SIZE) * PAGE_SIZE);
  const kernelArea = space.alloc('kernel', kernel.virtEnd - space.end);
  const ramdiskIsMapped = ramdiskSize > 0 && !kernel.unmappedRamdisk;
  let ramdisk = ramdiskIsMapped ? space.alloc('module0', ramdiskSize) : undefined;
  let p2m = kernel.initP2m === undefined ? space.alloc('phys2mach', p2mPages * PAGE_SIZE) : undefined;
  let p2mTables = 0;
  const startInfo = space.allocPage('start info');
  const xenstore = space.allocPage('xenstore');
  const console = space.allocPage('console');

  const { count, virtPgtabEnd } = planFirstMapping(tables, kernel.virtBase, space.end, nrPages, log);
  const pageTables = space.alloc('page tables', count * PAGE_SIZE);
  tables.add({ from: kernel.virtBase, to: virtPgtabEnd - 1, pfn: 0 }, pageTables.pfn);
  const bootStack = space.allocPage('boot stack');
  domainBuilder(log, `xc_dom_build_image  : virt_alloc_end : ${hex(space.end)}`);
  domainBuilder(log, `xc_dom_build_image  : virt_pgtab_end : ${hex(virtPgtabEnd)}`);

  // Everything that the first mapping shows must be there.
  space.padTo(virtPgtabEnd);
  if (ramdiskSize > 0) ramdisk ??= space.alloc('module0', ramdiskSize);
  if (p2m === undefined) {
    const from = kernel.initP2m ?? 0;
    const to = from + p2mPages * PAGE_SIZE - 1;
    p2mTables = countTables(tables, from, to, space.used, nrPages, log);
    p2m = space.alloc('phys2mach', (p2mPages + p2mTables) * PAGE_SIZE);
    tables.add({ from, to, pfn: p2m.pfn }, p2m.pfn + p2mPages);
  }
  return {
    nrPages,
    kernel: kernelArea,
    ramdisk,
    ramdiskIsMapped,
    startInfo,
    xenstore,
    console,
    pageTables,
    bootStack,
    virtPgtabEnd,
    p2m,
    p2mVa: kernel.initP2m ?? p2m.va,
    p2mTables,
    tables,
  };
}

/** The mapping must reach past its own tables, the boot stack and the slack; tables are part of it, hence the rounds. */
function planFirstMapping(
  tables: PageTablePlan,
  virtBase: number,
  allocEnd: number,
  nrPages: number,
  log: BuildLog,
): { count: number; virtPgtabEnd: number } {
  const fixed = 1 + SLACK_PAGES;
  let pages = fixed;
  for (;;) {
    const virtPgtabEnd = Math.ceil((allocEnd + pages * PAGE_SIZE) / MAP_ALIGN) * MAP_ALIGN;
    if (!isGuests(virtBase, virtPgtabEnd))
      throw outOfMemory('the first mapping does not fit behind the kernel', 'alloc_pgtables_pv');
    const count = countTables(tables, virtBase, virtPgtabEnd - 1, 0, nrPages, log);
    pages = count + fixed;
    if (allocEnd + pages * PAGE_SIZE <= virtPgtabEnd) return { count, virtPgtabEnd };
  }
}

function countTables(
  tables: PageTablePlan,
  from: number,
  to: number,
  pfn: number,
  nrPages: number,
  log: BuildLog,
): number {
  const lastPfn = pfn + Math.floor((to - from) / PAGE_SIZE);
  if (lastPfn >= nrPages) {
    const text = `not enough memory for initial mapping (${hex(lastPfn)} > ${hex(nrPages)})`;
    throw outOfMemory(text, 'xg_dom_x86.c:159: count_pgtables');
  }
  let total = tables.hasL4 ? 0 : 1;
  for (const { bits, from: first, to: last, tables: needed } of tables.count(from, to)) {
    const mask = address48(2 ** bits - 1);
    domainBuilder(
      log,
      `count_pgtables: ${mask}/${bits}: ${address48(first)} -> ${address48(last)}, ${needed} table(s)`,
    );
    total += needed;
  }
  return total;
}

/** Hands out frames in ascending order, and with them the addresses of the first mapping. */
class FrameSpace {
  readonly #virtBase: number;
  readonly #nrPages: number;
  readonly #log: BuildLog;
  #used = 0;

  constructor(virtBase: number, nrPages: number, log: BuildLog) {
    this.#virtBase = virtBase;
    this.#nrPages = nrPages;
    this.#log = log;
  }

  get used(): number {
    return this.#used;
  }

  /** The address of the next frame. */
  get end(): number {
    return this.#virtBase + this.#used * PAGE_SIZE;
  }

  padTo(va: number): void {
    this.#take('padding', pagesOf(va - this.end));
  }

  alloc(name: string, size: number): Area {
    const va = this.end;
    const pages = pagesOf(size);
    const pfn = this.#take(name, pages);
    const range = `${hex(va)} -> ${hex(va + size)}  (pfn ${hex(pfn)} + ${hex(pages)} pages)`;
    domainBuilder(this.#log, `xc_dom_alloc_segment:   ${name.padEnd(13)}: ${range}`);
    return { pfn, pages, va };
  }

  allocPage(name: string): Area {
    const va = this.end;
    const pfn = this.#take(name, 1);
    domainBuilder(this.#log, `xc_dom_alloc_page   :   ${name.padEnd(13)}: ${hex(va)} (pfn ${hex(pfn)})`);
    return { pfn, pages: 1, va };
  }

  #take(name: string, pages: number): number {
    if (pages > this.#nrPages - this.#used) {
      const text = `segment ${name} too large (${hex(pages)} > ${hex(this.#nrPages)} - ${hex(this.#used)} pages)`;
      throw outOfMemory(text, 'xg_dom_core.c:536: xc_dom_chk_alloc_pages');
    }
    const pfn = this.#used;
    this.#used += pages;
    return pfn;
  }
}

function outOfMemory(text: string, where: string): BuildError {
  return new BuildError(text, {
    call: 'buildImage',
    code: 'outOfMemory',
    where,
    hint: 'give the domain more memory',
  });
}

function pagesOf(size: number): number {
  return Math.ceil(size / PAGE_SIZE);
}

/** As libxc prints table ranges: 48 bits in 16 digits. */
function address48(va: number): string {
  return `0x${BigInt.asUintN(48, BigInt(va)).toString(16).padStart(16, '0')}`;
}
