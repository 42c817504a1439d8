/** Writes a PV domain as libxc's stream, version 3: suspended, or while it runs until there is little left to write. */
import { CpuUserRegs, VcpuGuestContext } from '../../abi/arch-x86.ts';
import {
  DOMAIN_TYPE,
  DomainHeader,
  LIBXC_HEADER,
  LIBXC_RECORD,
  P2mFramesHeader,
  PvInfo,
  TscInfo,
  VcpuHeader,
} from './stream-format.ts';
import { PAGE_SHIFT, PAGE_SIZE, hiOf, loOf } from '../../abi/numbers.ts';
import type { DomainControl } from '../../hypervisor/control.ts';
import { StreamError, type ByteSink } from './byte-stream.ts';
import { writeCpuidPolicy, writeMsrPolicy } from './cpu-policy.ts';
import { P2M_ENTRIES, p2mFrames } from './p2m-list.ts';
import { PageWriter } from './page-writer.ts';
import { NOT_THERE, Physmap } from './physmap.ts';
import { viewOf, writeRecord } from './records.ts';
import { sentPages, type SentPages } from './sent-pages.ts';
import { writeExtended, writeMsrs } from './vcpu-records.ts';
import type { WatchWrites } from './write-watch.ts';

export type SavableDomain = Pick<
  DomainControl,
  | 'frames'
  | 'sharedInfoMfn'
  | 'info'
  | 'vcpuInfo'
  | 'pfnOf'
  | 'frameType'
  | 'getVcpuContext'
  | 'vcpuExtended'
  | 'tscInfo'
  | 'pause'
  | 'unpause'
  | 'cpuid'
>;

export interface SaveOptions {
  readonly xenVersion: { readonly major: number; readonly minor: number };
  /** Pages looked at in this pass over memory, of so many. */
  readonly onProgress?: (done: number, total: number, pass: number) => void;
  readonly signal?: AbortSignal;
  /** Of a domain that runs: stops it once few pages are left to send. Without it the domain is suspended already. */
  readonly suspend?: () => Promise<void>;
  /** For a domain that runs: how the platform tells what is written. Without it, pages are compared. */
  readonly watchWrites?: WatchWrites | undefined;
}

export interface SaveOutcome {
  /** Passes over memory, the last one of them with the domain stopped. */
  readonly passes: number;
  readonly pagesSent: number;
}

/** As libxc: so many passes over a running domain, and no more once so few pages were new (precopy_policy_t). */
const MAX_LIVE_PASSES = 5;
const FEW_PAGES = 50;

/** A 64-bit guest's tables. */
const GUEST_WIDTH = 8;
const PT_LEVELS = 4;
const KERNEL_CR3 = 3;
const USER_CR3 = 1;
/** Of a CR3 in ctrlreg[1] of a stream: there is a user table, even when its PFN is 0. */
const USER_CR3_PRESENT = 1;

/** Throws StreamError. */
export async function saveDomain(domain: SavableDomain, sink: ByteSink, options: SaveOptions): Promise<SaveOutcome> {
  await writeStaticData(domain, sink, options);
  const p2m = await writeP2mFrames(domain, sink);
  const { suspend, watchWrites } = options;
  if (suspend === undefined) return writeDomain(domain, sink, options, p2m, undefined);
  const sent = await sentPages(domain.frames, domain.sharedInfoMfn, watchWrites);
  try {
    return await writeDomain(domain, sink, options, p2m, sent);
  } finally {
    sent.end();
  }
}

async function writeDomain(
  domain: SavableDomain,
  sink: ByteSink,
  { suspend, signal, onProgress }: SaveOptions,
  p2m: readonly number[],
  sent: SentPages | undefined,
): Promise<SaveOutcome> {
  const writer = new PageWriter(domain, sink, sent, signal);
  let passes = 0;
  let pagesSent = 0;
  const pass = async (isLast: boolean): Promise<number> => {
    const number = passes++;
    const count = await writer.pass(isLast, (done, total) => onProgress?.(done, total, number));
    pagesSent += count;
    return count;
  };
  if (suspend !== undefined) {
    while (passes < MAX_LIVE_PASSES && (await pass(false)) > FEW_PAGES);
    await suspend();
    const now = p2mPfns(domain);
    if (now.length !== p2m.length || now.some((pfn, i) => pfn !== p2m[i]))
      throw new StreamError('the guest has moved its P2M table while it was sent: try again');
  }
  // Of a domain that has just suspended other vCPUs may still be on their way out of the guest, and write to their stacks: memory and registers have to be of one moment.
  domain.pause();
  try {
    await pass(true);
    await writeRecord(sink, LIBXC_RECORD.X86_TSC_INFO, tscInfo(domain));
    await writeRecord(sink, LIBXC_RECORD.SHARED_INFO, domain.frames.view(domain.sharedInfoMfn).slice());
    await writeVcpus(domain, sink, new Physmap(domain));
  } finally {
    domain.unpause();
  }
  await writeRecord(sink, LIBXC_RECORD.END);
  return { passes, pagesSent };
}

async function writeStaticData(domain: SavableDomain, sink: ByteSink, { xenVersion }: SaveOptions): Promise<void> {
  const image = new Uint8Array(LIBXC_HEADER.size + DomainHeader.size);
  const view = viewOf(image);
  image.fill(0xff, 0, 8);
  view.setUint32(8, LIBXC_HEADER.id);
  view.setUint32(12, LIBXC_HEADER.version);
  DomainHeader.write(view, LIBXC_HEADER.size, {
    type: DOMAIN_TYPE.x86_pv,
    page_shift: PAGE_SHIFT,
    xen_major: xenVersion.major,
    xen_minor: xenVersion.minor,
  });
  await sink.write([image]);
  const info = new Uint8Array(PvInfo.size);
  PvInfo.write(viewOf(info), 0, { guest_width: GUEST_WIDTH, pt_levels: PT_LEVELS });
  await writeRecord(sink, LIBXC_RECORD.X86_PV_INFO, info);
  await writeRecord(sink, LIBXC_RECORD.X86_CPUID_POLICY, writeCpuidPolicy(domain));
  await writeRecord(sink, LIBXC_RECORD.X86_MSR_POLICY, writeMsrPolicy());
  await writeRecord(sink, LIBXC_RECORD.STATIC_DATA_END);
}

async function writeP2mFrames(domain: SavableDomain, sink: ByteSink): Promise<readonly number[]> {
  const pfns = p2mPfns(domain);
  const body = new Uint8Array(P2mFramesHeader.size + pfns.length * 8);
  const view = viewOf(body);
  P2mFramesHeader.write(view, 0, { start_pfn: 0, end_pfn: pfns.length * P2M_ENTRIES - 1 });
  pfns.forEach((pfn, i) => view.setUint32(P2mFramesHeader.size + i * 8, pfn, true));
  await writeRecord(sink, LIBXC_RECORD.X86_PV_P2M_FRAMES, body);
  return pfns;
}

function p2mPfns(domain: SavableDomain): readonly number[] {
  const physmap = new Physmap(domain);
  return p2mFrames(domain.frames, domain.sharedInfoMfn).map((mfn) => pageOf(physmap, mfn, 'its P2M table'));
}

function tscInfo(domain: SavableDomain): Uint8Array {
  const body = new Uint8Array(TscInfo.size);
  TscInfo.write(viewOf(body), 0, domain.tscInfo());
  return body;
}

async function writeVcpus(domain: SavableDomain, sink: ByteSink, physmap: Physmap): Promise<void> {
  for (let vcpu = 0; vcpu <= domain.info().maxVcpuId; vcpu++) {
    if (domain.vcpuInfo(vcpu)?.online !== true) continue;
    const context = domain.getVcpuContext(vcpu);
    if (context === undefined) throw new StreamError(`vCPU ${vcpu} does not tell its registers`);
    const header = new Uint8Array(VcpuHeader.size);
    VcpuHeader.write(viewOf(header), 0, { vcpu_id: vcpu });
    canonicaliseContext(context, vcpu, physmap);
    await writeRecord(sink, LIBXC_RECORD.X86_PV_VCPU_BASIC, header, context);
    const more = domain.vcpuExtended(vcpu);
    await writeRecord(sink, LIBXC_RECORD.X86_PV_VCPU_EXTENDED, header, writeExtended(vcpu, more));
    const msrs = writeMsrs(more);
    if (msrs.length > 0) await writeRecord(sink, LIBXC_RECORD.X86_PV_VCPU_MSRS, header, msrs);
  }
}

/** Frame numbers of the context become PFNs; of vCPU 0 RDX as well, which is where the kernel has its start_info. */
function canonicaliseContext(context: Uint8Array, vcpu: number, physmap: Physmap): void {
  const view = viewOf(context);
  const { gdt_ents, gdt_frames, ctrlreg, user_regs } = VcpuGuestContext.at;
  const frameAt = (at: number, what: string): void => {
    const mfn = view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : NOT_THERE;
    view.setUint32(at, pageOf(physmap, mfn, what), true);
  };
  if (vcpu === 0) frameAt(user_regs + CpuUserRegs.at.rdx, 'its start_info');
  const pages = Math.ceil(view.getUint32(gdt_ents, true) / (PAGE_SIZE / 8));
  for (let page = 0; page < pages; page++) frameAt(gdt_frames + page * 8, 'its GDT');
  for (const [register, flag] of [
    [KERNEL_CR3, 0],
    [USER_CR3, USER_CR3_PRESENT],
  ] as const) {
    const at = ctrlreg + register * 8;
    const address = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
    if (address === 0) continue;
    const cr3 = pageOf(physmap, Math.floor(address / PAGE_SIZE), 'its page tables') * PAGE_SIZE + flag;
    view.setUint32(at, loOf(cr3), true);
    view.setUint32(at + 4, hiOf(cr3), true);
  }
}

function pageOf(physmap: Physmap, mfn: number, what: string): number {
  const pfn = physmap.pfnOf(mfn);
  if (pfn === undefined)
    throw new StreamError(`the guest has ${what} in frame 0x${mfn.toString(16)}, which is none of its pages`);
  return pfn;
}
