/**
 * Reads libxc's stream, version 2 or 3, into a new, paused PV domain. Nothing in it is believed: each number is checked here or, as
 * with page tables and registers, by the hypervisor, like what a guest asks for.
 */
import { VcpuGuestContext } from '../../abi/arch-x86.ts';
import {
  DOMAIN_TYPE,
  DomainHeader,
  LIBXC_HEADER,
  LIBXC_RECORD,
  P2mFramesHeader,
  PAGES_PER_RECORD,
  PAGE_PFN_HI,
  PAGE_TYPE,
  PAGE_TYPE_SHIFT,
  PageDataHeader,
  PvInfo,
  RECORD_OPTIONAL,
  VcpuHeader,
} from './stream-format.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../../abi/numbers.ts';
import { StartInfo } from '../../abi/start-info.ts';
import { HypercallError, type DomainControl, type VcpuExtended } from '../../hypervisor/control.ts';
import { renewSharedInfo, renewStartInfo, startInfoOf } from './arrival.ts';
import { StreamError, type ByteSource } from './byte-stream.ts';
import { checkCpuidPolicy } from './cpu-policy.ts';
import { P2M_ENTRIES } from './p2m-list.ts';
import { readBody, readRecordStart, skipPadding, viewOf, type RecordStart } from './records.ts';
import { readExtended, readMsrs } from './vcpu-records.ts';

/** What domain 0's services need to know of the domain. */
export interface RestoredRings {
  readonly startInfoMfn: number;
  readonly storeMfn: number;
  readonly storePort: number;
  readonly consoleMfn: number;
  readonly consolePort: number;
}

export type RestorableDomain = Pick<
  DomainControl,
  | 'frames'
  | 'sharedInfoMfn'
  | 'info'
  | 'allocUnbound'
  | 'populatePhysmap'
  | 'pinTable'
  | 'restoreVcpu'
  | 'seedGrant'
  | 'cpuid'
>;

export interface RestoreOptions {
  readonly storeDomid?: number;
  readonly consoleDomid?: number;
  readonly onVersion?: (major: number, minor: number) => void;
  /** The stream, of Xen before 4.14, does not tell which features of the processor the guest may use. */
  readonly onUnknownFeatures?: () => void;
}

const CONSOLE_GRANT = 0;
const STORE_GRANT = 1;
const GUEST_WIDTH = 8;
const PT_LEVELS = 4;
/** INVALID_P2M_ENTRY, one half of it. */
const NO_ENTRY = 0xffff_ffff;

interface VcpuRecords {
  context?: Uint8Array;
  extended: VcpuExtended;
}

const freshVcpu: VcpuExtended = {
  syscall32Callback: 0,
  sysenterCallback: 0,
  syscall32DisablesEvents: false,
  sysenterDisablesEvents: false,
  tscAux: 0,
};

/** The domain has its vCPUs and no memory yet. Throws StreamError; the caller destroys the domain then. */
export async function restoreDomain(
  domain: RestorableDomain,
  source: ByteSource,
  options: RestoreOptions = {},
): Promise<RestoredRings> {
  const restoring = new Restoring(domain, source, options);
  try {
    return await restoring.run();
  } catch (error) {
    if (error instanceof HypercallError) throw damaged(error.message);
    throw error;
  }
}

class Restoring {
  readonly #domain: RestorableDomain;
  readonly #source: ByteSource;
  readonly #options: RestoreOptions;
  /** Frames that RAM can have. */
  readonly #maxFrames: number;
  readonly #vcpus = new Map<number, VcpuRecords>();
  /** Pinned tables: PFN → level. */
  readonly #pinned = new Map<number, number>();
  /** By PFN: 1 where there is a page. */
  readonly #populated: Uint8Array;
  #p2m: readonly number[] | undefined;
  #sharedInfo: Uint8Array | undefined;
  #isPv = false;
  #version = 0;
  #hasPolicy = false;

  constructor(domain: RestorableDomain, source: ByteSource, options: RestoreOptions) {
    this.#domain = domain;
    this.#source = source;
    this.#options = options;
    this.#maxFrames = domain.info().maxPages;
    this.#populated = new Uint8Array(this.#maxFrames);
  }

  async run(): Promise<RestoredRings> {
    await this.#headers();
    for (;;) {
      const start = await readRecordStart(this.#source);
      if (start.type === LIBXC_RECORD.END) break;
      if (start.type === LIBXC_RECORD.PAGE_DATA) await this.#pages(start);
      else this.#record(start.type, await readBody(this.#source, start));
    }
    return this.#complete();
  }

  async #headers(): Promise<void> {
    const bytes = await this.#source.read(LIBXC_HEADER.size + DomainHeader.size);
    const view = viewOf(bytes);
    const version = view.getUint32(12);
    if (bytes.subarray(0, 8).some((byte) => byte !== 0xff) || view.getUint32(8) !== LIBXC_HEADER.id)
      throw damaged('it has no stream of libxc');
    if (!LIBXC_HEADER.versions.some((known) => known === version))
      throw new StreamError(
        `the saved domain's memory is written in version ${version} of the format, which is not supported`,
      );
    if ((view.getUint16(16) & LIBXC_HEADER.bigEndian) !== 0)
      throw new StreamError('the saved domain was written in big-endian order, which is not supported');
    const { type, page_shift, xen_major, xen_minor } = DomainHeader.read(view, LIBXC_HEADER.size);
    if (type !== DOMAIN_TYPE.x86_pv)
      throw new StreamError('the saved domain is not a PV domain, which is not supported yet');
    if (page_shift !== PAGE_SHIFT) throw damaged(`its pages have 2^${page_shift} bytes`);
    this.#version = version;
    this.#options.onVersion?.(xen_major, xen_minor);
  }

  #record(type: number, body: Uint8Array): void {
    const view = viewOf(body);
    switch (type) {
      case LIBXC_RECORD.X86_PV_INFO: {
        const { guest_width, pt_levels } = PvInfo.read(viewOf(atLeast(body, PvInfo.size)), 0);
        if (guest_width !== GUEST_WIDTH || pt_levels !== PT_LEVELS)
          throw new StreamError('the saved domain is a 32-bit PV domain, which is not supported');
        this.#isPv = true;
        break;
      }
      case LIBXC_RECORD.X86_CPUID_POLICY:
        checkCpuidPolicy(body, this.#domain);
        this.#hasPolicy = true;
        break;
      case LIBXC_RECORD.X86_PV_P2M_FRAMES:
        this.#p2m = this.#p2mFrames(atLeast(body, P2mFramesHeader.size));
        break;
      case LIBXC_RECORD.SHARED_INFO:
        if (body.length !== PAGE_SIZE) throw damaged('its shared_info is no page');
        this.#sharedInfo = body;
        break;
      case LIBXC_RECORD.X86_PV_VCPU_BASIC:
        if (body.length < VcpuHeader.size + VcpuGuestContext.size) throw damaged('the registers of a vCPU are cut off');
        this.#vcpu(view).context = body.slice(VcpuHeader.size, VcpuHeader.size + VcpuGuestContext.size);
        break;
      case LIBXC_RECORD.X86_PV_VCPU_EXTENDED:
      case LIBXC_RECORD.X86_PV_VCPU_MSRS: {
        if (body.length <= VcpuHeader.size) break;
        const vcpu = this.#vcpu(view);
        const read = type === LIBXC_RECORD.X86_PV_VCPU_MSRS ? readMsrs : readExtended;
        vcpu.extended = read(body.subarray(VcpuHeader.size), vcpu.extended);
        break;
      }
      // Registers beyond those of the context exist only with features that checkCpuidPolicy refuses; nothing here depends on
      // model-specific registers that a policy tells, and all domains have the host's clock.
      case LIBXC_RECORD.X86_PV_VCPU_XSAVE:
      case LIBXC_RECORD.X86_MSR_POLICY:
      case LIBXC_RECORD.X86_TSC_INFO:
      case LIBXC_RECORD.STATIC_DATA_END:
        break;
      case LIBXC_RECORD.VERIFY:
      case LIBXC_RECORD.CHECKPOINT:
        throw new StreamError('the saved domain has checkpoints, which are not supported');
      default:
        if (type < RECORD_OPTIONAL)
          throw new StreamError(`the saved domain has a record 0x${type.toString(16)}, which no PV domain needs`);
    }
  }

  /** Page contents go to their frames without a stop: a frame's number is the page's. */
  async #pages(start: RecordStart): Promise<void> {
    if (!this.#isPv || this.#p2m === undefined) throw damaged('its pages come before what they belong to');
    const header = viewOf(await this.#source.read(PageDataHeader.size));
    const { count } = PageDataHeader.read(header, 0);
    if (count === 0 || count > PAGES_PER_RECORD || PageDataHeader.size + count * 8 > start.length)
      throw damaged(`a record of ${count} pages`);
    const list = viewOf(await this.#source.read(count * 8));
    const withData: number[] = [];
    const tables = new Set<number>();
    for (let i = 0; i < count; i++) {
      const hi = list.getUint32(i * 8 + 4, true);
      const pfn = list.getUint32(i * 8, true);
      const type = hi >>> PAGE_TYPE_SHIFT;
      if ((hi & PAGE_PFN_HI) !== 0 || pfn >= this.#maxFrames)
        throw damaged(`it has a page 0x${pfn.toString(16)} beyond its memory`);
      // A domain that ran while it was sent may have given up a page since.
      this.#populated[pfn] = type === PAGE_TYPE.XTAB || type === PAGE_TYPE.BROKEN ? 0 : 1;
      if (type >= PAGE_TYPE.BROKEN) continue;
      const level = type & ~PAGE_TYPE.PINNED;
      if (level > PAGE_TYPE.L4TAB || type === PAGE_TYPE.PINNED) throw damaged(`a page of type ${type}`);
      if ((type & PAGE_TYPE.PINNED) !== 0) this.#pinned.set(pfn, level);
      else this.#pinned.delete(pfn);
      withData.push(pfn);
      // What has been checked must not change: tables are read.
      if (level !== PAGE_TYPE.NOTAB) tables.add(pfn);
    }
    if (start.length !== PageDataHeader.size + count * 8 + withData.length * PAGE_SIZE)
      throw damaged('a record of pages has another length than its pages');
    for (const { first, length } of runs(withData, tables)) {
      const target = this.#domain.frames.bytes(first * PAGE_SIZE, length * PAGE_SIZE);
      if (tables.has(first) || this.#source.place?.(target) !== true) await this.#source.readInto(target);
    }
    await skipPadding(this.#source, start);
  }

  #p2mFrames(body: Uint8Array): number[] {
    const view = viewOf(body);
    const { start_pfn, end_pfn } = P2mFramesHeader.read(view, 0);
    const count = Math.floor(end_pfn / P2M_ENTRIES) - Math.floor(start_pfn / P2M_ENTRIES) + 1;
    if (start_pfn !== 0 || count <= 0 || body.length !== P2mFramesHeader.size + count * 8 || count > this.#maxFrames)
      throw damaged('its list of P2M frames has a length that cannot be');
    return Array.from({ length: count }, (_, i) => view.getUint32(P2mFramesHeader.size + i * 8, true));
  }

  #vcpu(view: DataView): VcpuRecords {
    const { vcpu_id: id } = VcpuHeader.read(view, 0);
    if (id > this.#domain.info().maxVcpuId)
      throw new StreamError(`the saved domain has a vCPU ${id}, more than its configuration says`);
    const known = this.#vcpus.get(id) ?? { extended: freshVcpu };
    this.#vcpus.set(id, known);
    return known;
  }

  // --- the end: what holds numbers of this host ------------------------------------------------------------------------

  #complete(): RestoredRings {
    const domain = this.#domain;
    const first = this.#vcpus.get(0)?.context;
    if (first === undefined || this.#sharedInfo === undefined || this.#p2m === undefined)
      throw damaged('registers, shared_info or P2M table are missing');
    if (!this.#hasPolicy) {
      if (this.#version >= LIBXC_HEADER.version)
        throw damaged('it does not tell which features of the processor the guest may use');
      this.#options.onUnknownFeatures?.();
    }
    const { storeDomid = 0, consoleDomid = 0 } = this.#options;
    domain.populatePhysmap(this.#pagesThere());
    const ports = { storePort: domain.allocUnbound(storeDomid), consolePort: domain.allocUnbound(consoleDomid) };
    this.#writeP2m(this.#p2m);
    renewSharedInfo(domain, this.#sharedInfo);
    const rings = { ...this.#writeStartInfo(viewOf(first), ports), ...ports };
    for (const [vcpu, { context, extended }] of this.#vcpus) {
      if (context === undefined) throw damaged(`the registers of vCPU ${vcpu} are missing`);
      this.#localise(viewOf(context));
      domain.restoreVcpu(vcpu, context, extended);
    }
    for (const [pfn, level] of this.#pinned) domain.pinTable(pfn, level);
    domain.seedGrant(CONSOLE_GRANT, rings.consoleMfn);
    domain.seedGrant(STORE_GRANT, rings.storeMfn);
    return rings;
  }

  #pagesThere(): number[] {
    const pfns: number[] = [];
    for (let pfn = 0; pfn < this.#maxFrames; pfn++) if (this.#populated[pfn] === 1) pfns.push(pfn);
    return pfns;
  }

  #page(pfn: number, what: string): number {
    if (this.#populated[pfn] !== 1) throw damaged(`${what} is page 0x${pfn.toString(16)}, which it does not have`);
    return pfn;
  }

  #writeP2m(frames: readonly number[]): void {
    frames.forEach((pfn, i) => {
      const { buffer, byteOffset } = this.#domain.frames.view(this.#page(pfn, 'its P2M table'));
      const words = new Uint32Array(buffer, byteOffset, P2M_ENTRIES * 2).fill(NO_ENTRY);
      for (let entry = 0; entry < P2M_ENTRIES; entry++) {
        const listed = i * P2M_ENTRIES + entry;
        if (this.#populated[listed] !== 1) continue;
        words[entry * 2] = listed;
        words[entry * 2 + 1] = 0;
      }
    });
  }

  #writeStartInfo(
    context: DataView,
    ports: { storePort: number; consolePort: number },
  ): { startInfoMfn: number; storeMfn: number; consoleMfn: number } {
    const startInfoMfn = this.#page(startInfoOf(context), 'its start_info');
    const { store_mfn, console_mfn } = StartInfo.read(viewOf(this.#domain.frames.view(startInfoMfn)), 0);
    const rings = {
      startInfoMfn,
      storeMfn: this.#page(store_mfn, "xenstore's ring"),
      consoleMfn: this.#page(console_mfn, "the console's ring"),
    };
    renewStartInfo(this.#domain, { ...rings, ...ports });
    return rings;
  }

  /** Frame numbers are what they were in the stream; only the mark of ctrlreg[1] goes. */
  #localise(context: DataView): void {
    const at = VcpuGuestContext.at.ctrlreg + 8;
    context.setUint32(at, (context.getUint32(at, true) & ~(PAGE_SIZE - 1)) >>> 0, true);
  }
}

/** Pages that follow one another in the stream as in memory, tables apart from others. */
function* runs(
  pfns: readonly number[],
  tables: ReadonlySet<number>,
): Generator<{ readonly first: number; readonly length: number }> {
  for (let i = 0; i < pfns.length;) {
    const first = pfns[i] ?? 0;
    const kind = tables.has(first);
    let length = 1;
    while (pfns[i + length] === first + length && tables.has(first + length) === kind) length++;
    yield { first, length };
    i += length;
  }
}

function atLeast(body: Uint8Array, length: number): Uint8Array {
  if (body.length < length) throw damaged('a record is cut off');
  return body;
}

function damaged(what: string): StreamError {
  return new StreamError(`the saved domain is damaged: ${what}`);
}
