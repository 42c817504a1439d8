/**
 * Builds a PV domain: its memory, the kernel, the ramdisk, page tables, P2M, start_info, the two ring pages with their
 * event channels and grants, and the first vCPU's registers. The domain has been created and stays paused.
 *
 * A PV domain's RAM here has MFN equal to PFN (see src/hypervisor/control.ts, `populate`), so one number serves for both.
 */
import { PAGE_SIZE, type Mfn } from '../../abi/numbers.ts';
import { MAX_GUEST_CMDLINE, SIF_MOD_START_PFN, StartInfo } from '../../abi/start-info.ts';
import type { DomainControl, GuestFrames } from '../../hypervisor/control.ts';
import { HypercallError } from '../../hypervisor/control.ts';
import { BuildError } from './build-error.ts';
import { domainBuilder, hex, libelf, silent, type BuildLog } from './build-log.ts';
import { copyIntoZeroes } from './copy-into-zeroes.ts';
import type { PvKernel } from './kernel-image.ts';
import type { PvImage } from './load-image.ts';
import { layOut, type PvLayout } from './pv-layout.ts';
import { ramdiskFor } from './ramdisk.ts';
import { kernelSymbols } from './symbols.ts';

/** The verbs of the control interface that building takes. */
export type BuildTarget = Pick<
  DomainControl,
  | 'domid'
  | 'frames'
  | 'sharedInfoMfn'
  | 'populate'
  | 'hypercallInit'
  | 'allocUnbound'
  | 'seedGrant'
  | 'pinTable'
  | 'setVcpuContext'
  | 'setSymbols'
>;

export interface PvBuildOptions {
  /** RAM at start, in KiB; xl's `memory`. */
  readonly memoryKiB: number;
  readonly cmdline: string;
  /** The domains that serve the console and xenstore; domain 0 by default. */
  readonly consoleDomid?: number;
  readonly storeDomid?: number;
  readonly log?: BuildLog;
}

/** What the toolstack writes into xenstore, and hands to the daemons. */
export interface PvBuildResult {
  readonly storeMfn: Mfn;
  readonly storePort: number;
  readonly consoleMfn: Mfn;
  readonly consolePort: number;
  readonly layout: PvLayout;
}

/** Grant references reserved for the toolstack (xen/include/public/grant_table.h). */
const GNTTAB_RESERVED_CONSOLE = 0;
const GNTTAB_RESERVED_XENSTORE = 1;
const L4_LEVEL = 4;
const START_INFO_MAGIC = 'xen-3.0-x86_64';

/** Throws BuildError; the caller destroys the domain then. */
export function buildPvDomain(domain: BuildTarget, image: PvImage, options: PvBuildOptions): PvBuildResult {
  const log = options.log ?? silent;
  const { kernel } = image;
  const nrPages = Math.floor(options.memoryKiB / (PAGE_SIZE / 1024));
  const storePort = domain.allocUnbound(options.storeDomid ?? 0);
  const consolePort = domain.allocUnbound(options.consoleDomid ?? 0);

  domainBuilder(log, `xc_dom_mem_init: mem ${Math.floor(nrPages / 256)} MB, pages ${hex(nrPages)} pages, 4k each`);
  domainBuilder(log, `xc_dom_mem_init: ${hex(nrPages)} pages`);
  domainBuilder(log, 'xc_dom_boot_mem_init: called');
  domainBuilder(log, 'x86_compat: guest xen-3.0-x86_64, address size 64');
  const ramdisk = ramdiskFor(image.ramdisk, nrPages, log);
  // A domain without memory fails in the layout, with the message that says so.
  if (nrPages > 0) populate(domain, nrPages);
  domainBuilder(log, 'xc_dom_build_image: called');
  const layout = layOut(kernel, ramdisk.length, nrPages, log);

  const { frames } = domain;
  loadSegments(frames, kernel, layout, log);
  if (layout.ramdisk) frames.bytes(layout.ramdisk.pfn * PAGE_SIZE, ramdisk.length).set(ramdisk);
  writeP2m(frames, layout);
  layout.tables.write((pfn) => viewOf(frames, pfn));
  domainBuilder(log, 'xc_dom_boot_image: called');
  domainBuilder(log, 'start_info_x86_64: called');
  const ports = { store: storePort, console: consolePort };
  writeStartInfo(viewOf(frames, layout.startInfo.pfn), domain, layout, ramdisk.length, options.cmdline, ports);
  if (kernel.hypercallPage !== undefined) {
    domain.hypercallInit((kernel.hypercallPage - kernel.virtBase) / PAGE_SIZE);
  }
  start(domain, kernel, layout, log);
  return { storeMfn: layout.xenstore.pfn, storePort, consoleMfn: layout.console.pfn, consolePort, layout };
}

/** The failure of a domain that asks for more memory than the host can give. */
export function outOfHostMemory(cause?: unknown): BuildError {
  return new BuildError("can't allocate low memory for domain", {
    call: 'bootMemInit',
    code: 'outOfMemory',
    where: 'xg_dom_boot.c:119: xc_dom_boot_mem_init',
    cause,
  });
}

function populate(domain: BuildTarget, nrPages: number): void {
  try {
    domain.populate(nrPages);
  } catch (error) {
    if (error instanceof HypercallError) throw outOfHostMemory(error);
    throw error;
  }
}

/** Segments go where p_paddr says: Linux's per-CPU segment has a p_vaddr of 0. Frames are zeroed, so the tails are. */
function loadSegments(frames: GuestFrames, kernel: PvKernel, layout: PvLayout, log: BuildLog): void {
  // The kernel's first page may begin before its first segment.
  const origin = layout.kernel.pfn * PAGE_SIZE - Math.floor(kernel.physStart / PAGE_SIZE) * PAGE_SIZE;
  kernel.elf.load.forEach(({ fileOffset, fileSize, paddr, memSize }, i, all) => {
    const target = frames.bytes(origin + paddr, memSize);
    const content = kernel.elf.bytes.subarray(fileOffset, fileOffset + fileSize);
    const overlaps = all
      .slice(0, i)
      .some((other) => other.paddr < paddr + fileSize && paddr < other.paddr + other.memSize);
    if (overlaps) target.set(content);
    else copyIntoZeroes(target, content);
    libelf(log, `ELF: phdr ${i} at ${hex(target.byteOffset)} -> ${hex(target.byteOffset + memSize)}`);
  });
}

function writeP2m(frames: GuestFrames, layout: PvLayout): void {
  const entries = (layout.p2m.pages - layout.p2mTables) * (PAGE_SIZE / 8);
  const list = frames.bytes(layout.p2m.pfn * PAGE_SIZE, entries * 8);
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  for (let pfn = 0; pfn < layout.nrPages; pfn++) view.setUint32(pfn * 8, pfn, true);
  // Whole pages, as libxc fills them: ~0 says that there is no frame.
  list.fill(0xff, layout.nrPages * 8);
}

function writeStartInfo(
  page: DataView,
  domain: BuildTarget,
  layout: PvLayout,
  ramdiskSize: number,
  cmdline: string,
  ports: { readonly store: number; readonly console: number },
): void {
  const { ramdisk } = layout;
  const hasOwnP2m = layout.p2mTables > 0;
  const utf8 = new TextEncoder();
  StartInfo.write(page, 0, {
    magic: utf8.encode(START_INFO_MAGIC),
    nr_pages: layout.nrPages,
    shared_info: domain.sharedInfoMfn * PAGE_SIZE,
    flags: ramdisk !== undefined && !layout.ramdiskIsMapped ? SIF_MOD_START_PFN : 0,
    store_mfn: layout.xenstore.pfn,
    store_evtchn: ports.store,
    console_mfn: layout.console.pfn,
    console_evtchn: ports.console,
    pt_base: layout.pageTables.va,
    nr_pt_frames: layout.pageTables.pages,
    mfn_list: layout.p2mVa,
    mod_start: ramdisk === undefined ? 0 : layout.ramdiskIsMapped ? ramdisk.va : ramdisk.pfn,
    mod_len: ramdiskSize,
    cmd_line: utf8.encode(cmdline).subarray(0, MAX_GUEST_CMDLINE - 1),
    first_p2m_pfn: hasOwnP2m ? layout.p2m.pfn : 0,
    nr_p2m_frames: hasOwnP2m ? layout.p2m.pages : 0,
  });
}

function start(domain: BuildTarget, kernel: PvKernel, layout: PvLayout, log: BuildLog): void {
  const { domid } = domain;
  const l4 = layout.tables.l4;
  domainBuilder(log, `bootlate_pv: shared_info: pfn 0x0, mfn ${hex(domain.sharedInfoMfn)}`);
  domainBuilder(log, 'shared_info_x86_64: called');
  domainBuilder(log, 'vcpu_x86_64: called');
  domainBuilder(log, `vcpu_x86_64: cr3: pfn ${hex(l4)} mfn ${hex(l4)}`);
  const { pfn, pages } = layout.kernel;
  const memory = (): Uint8Array => domain.frames.bytes(pfn * PAGE_SIZE, pages * PAGE_SIZE);
  domain.setSymbols(kernelSymbols(kernel.elf.bytes, memory, kernel.virtStart));
  try {
    domain.pinTable(l4, L4_LEVEL);
    domain.setVcpuContext(0, {
      rip: kernel.entry,
      rsp: layout.bootStack.va + PAGE_SIZE,
      rsi: layout.startInfo.va,
      cr3Mfn: l4,
    });
  } catch (cause) {
    if (!(cause instanceof HypercallError)) throw cause;
    throw new BuildError(cause.message, { call: 'bootImage', code: 'internal', where: 'bootlate_pv', cause });
  }
  const grants = [
    { ref: GNTTAB_RESERVED_CONSOLE, mfn: layout.console.pfn },
    { ref: GNTTAB_RESERVED_XENSTORE, mfn: layout.xenstore.pfn },
  ];
  for (const { ref, mfn } of grants) {
    domainBuilder(log, `xc_dom_set_gnttab_entry: d${domid} gnt[${ref}] -> d0 ${hex(mfn)}`);
    domain.seedGrant(ref, mfn);
  }
  domainBuilder(log, 'xc_dom_release: called');
}

function viewOf(frames: GuestFrames, mfn: number): DataView {
  const page = frames.view(mfn);
  return new DataView(page.buffer, page.byteOffset, page.length);
}
