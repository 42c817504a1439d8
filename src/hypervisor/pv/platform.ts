/** The PV platform: 64-bit guests that know they run on Xen. Puts the parts together; each is in a file of its own. */
import type { FeatureName } from '../../abi/arch-x86/cpufeatureset.ts';
import { Errno } from '../../abi/errno.ts';
import type { HostAddress, Mfn } from '../../abi/numbers.ts';
import { hiOf, loOf } from '../../abi/numbers.ts';
import { Vector } from '../../cpu/exits.ts';
import type { Domain } from '../domain.ts';
import type { HypercallRow } from '../hypercall.ts';
import { full, noResult } from '../hypercall.ts';
import type { Platform, PlatformKind } from '../platform.ts';
import { PGC_allocated, PGC_xen_heap } from '../state.ts';
import type { Vcpu } from '../vcpu.ts';
import { Bounce } from './bounce.ts';
import { Callbacks } from './callbacks.ts';
import { checkContext, loadContext } from './context.ts';
import { CpuidPolicy, type CpuidQuery } from './cpuid-policy.ts';
import { DebugRegisters } from './debug-registers.ts';
import { DescriptorReader, buildReservedGdtPage } from './descriptors.ts';
import { Exits } from './exits.ts';
import { GuestWords } from './guest-words.ts';
import { Iret } from './iret.ts';
import { buildM2p, m2p, setM2p } from './m2p.ts';
import { MmuUpdates } from './mmu-update.ts';
import { MmuextOps } from './mmuext-op.ts';
import { PageTables } from './page-tables.ts';
import { PGC_xen_private, PGT, PGT_TYPE_SHIFT, PGT_counted, PGT_validated } from './page-type.ts';
import { PrivilegedOps } from './privileged-ops.ts';
import { PvVcpu } from './pv-vcpu.ts';
import { readExtended, saveContext, writeExtended } from './save-context.ts';
import { Segments } from './segments.ts';
import { RemoteTlbs } from './tlb.ts';
import { transitions } from './transitions/index.ts';
import { vmAssistRow } from './vm-assist.ts';
import { WritablePageTables } from './writable-page-tables.ts';

export interface PvOptions {
  /** What the processor can do. */
  readonly features: readonly FeatureName[];
  /** What guests are not told of, by the boot line. */
  readonly hidden?: readonly FeatureName[];
  /** XENVER_version: major << 16 | minor. */
  readonly xenVersion: number;
  /** Frequent transitions happen in generated code, without leaving the guest's; default true. */
  readonly transitions?: boolean;
}

/** 4 GiB of addresses at most: what a domain's memory can hold. */
const ADDRESS_BITS = 32;

class PvPlatform implements Platform {
  readonly kind: PlatformKind;
  readonly hypercalls: readonly HypercallRow[];
  readonly #pv: PvVcpu;
  readonly #bounce: Bounce;
  readonly #exits: Exits;
  readonly #privileged: PrivilegedOps;
  readonly #descriptors: DescriptorReader;
  readonly #debug: DebugRegisters;

  constructor(kind: PlatformKind, vcpu: Vcpu, policy: CpuidPolicy, xenVersion: number) {
    this.kind = kind;
    const pv = new PvVcpu(vcpu);
    const words = new GuestWords(pv.domain, pv.processor, vcpu.guest);
    const bounce = new Bounce(pv);
    const descriptors = new DescriptorReader(pv);
    const debug = new DebugRegisters(pv);
    const mmuext = new MmuextOps(pv, words);
    const iret = new Iret(pv, bounce, descriptors);
    const query = cpuidQuery(pv.domain, vcpu.id, xenVersion);
    this.#pv = pv;
    this.#bounce = bounce;
    this.#descriptors = descriptors;
    this.#debug = debug;
    this.#privileged = new PrivilegedOps(pv, bounce, mmuext, debug, { fsGsBase: policy.has('fsgsbase') });
    this.#exits = new Exits(pv, bounce, debug, new WritablePageTables(pv), (leaf, subleaf) =>
      policy.query(leaf, subleaf, query),
    );
    this.hypercalls = [
      ...new Callbacks(pv, words).rows(),
      ...new MmuUpdates(pv, words).rows(),
      ...mmuext.rows(),
      ...new Segments(pv, descriptors).rows(),
      ...debug.rows(),
      vmAssistRow,
      {
        nr: 5,
        name: 'fpu_taskswitch',
        args: ['set'],
        support: full,
        run: (_, args) => {
          pv.cpu.taskSwitched = args.u32(0) !== 0;
          return 0;
        },
      },
      {
        nr: 23,
        name: 'iret',
        args: [],
        support: full,
        run: () => {
          iret.run();
          if (pv.state.word('nmiPending') !== 0) this.raiseNmi();
          return noResult;
        },
      },
    ];
  }

  loadContext(at: HostAddress): void {
    loadContext(this.#pv, at, this.#descriptors, this.#debug, this.#privileged);
  }

  saveContext(at: HostAddress): void {
    saveContext(this.#pv, at, this.#debug, this.controlRegisters().cr0);
  }

  onException(): void {
    this.#exits.exception();
  }

  onUserSyscall(): void {
    this.#exits.syscall();
  }

  onSysenter(): void {
    this.#exits.sysenter();
  }

  onSoftwareInterrupt(): void {
    this.#exits.softwareInterrupt();
  }

  onPrivileged(): void {
    this.#privileged.emulate();
  }

  onCpuid(): void {
    this.#exits.cpuid();
  }

  deliverUpcall(): void {
    this.#bounce.upcall();
  }

  flushTlb(): void {
    this.#pv.tlb.answer();
  }

  /** Blocked from one NMI's delivery to the next iret; without a handler it is lost. */
  raiseNmi(): void {
    const { state } = this.#pv;
    if (state.word('nmiMasked') !== 0) {
      state.setWord('nmiPending', 1);
      return;
    }
    state.setWord('nmiPending', 0);
    if (state.trapHandler(Vector.NMI) === 0) return;
    state.setWord('nmiMasked', 1);
    this.#bounce.softwareInterrupt(Vector.NMI);
  }

  controlRegisters(): ReturnType<Platform['controlRegisters']> {
    const { state } = this.#pv;
    const kernel = this.#pv.vcpu.kernelMode;
    return {
      cr0: this.#privileged.cr0,
      cr2: state.address('cr2'),
      cr3: state.word(kernel ? 'cr3' : 'userCr3') * 4096,
      cr4: state.word('cr4'),
      gsShadow: state.address('gsInactive'),
    };
  }
}

function cpuidQuery({ layout }: Domain, vcpu: number, xenVersion: number): CpuidQuery {
  return { vcpu, vcpus: layout.maxVcpus, xenVersion, addressBits: ADDRESS_BITS };
}

/** The platform for all PV domains of a host. */
export function createPvPlatform(options: PvOptions): PlatformKind {
  const policy = new CpuidPolicy(options.features, options.hidden);
  /** For threads that change a domain's tables without being one of its vCPUs. */
  const outside = new WeakMap<Domain, PageTables>();
  const tablesOf = (domain: Domain): PageTables => {
    let tables = outside.get(domain);
    if (tables === undefined) outside.set(domain, (tables = new PageTables(domain, new RemoteTlbs(domain))));
    return tables;
  };
  const kind: PlatformKind = {
    name: 'pv',
    populated(domain) {
      buildM2p(domain);
      buildReservedGdtPage(domain);
      const { maxPages, totalFrames, m2pTablesMfn } = domain.layout;
      const { types } = tablesOf(domain);
      for (let mfn = 0; mfn < maxPages; mfn++) if (types.count(mfn) !== 0) setM2p(domain, mfn, mfn, 0);
      // Xen's frames that the guest may map are writable for good, so that none of them can become a page table.
      for (let mfn = maxPages; mfn < totalFrames; mfn++) {
        types.setCount(mfn, (PGC_allocated | PGC_xen_heap | (mfn >= m2pTablesMfn ? PGC_xen_private : 0)) + 1);
        types.setWord(mfn, (PGT.writable_page << PGT_TYPE_SHIFT) | PGT_validated | PGT_counted | 1);
      }
    },
    pinTable: (domain, mfn, level) =>
      level >= PGT.l1_page_table && level <= PGT.l4_page_table
        ? domain.locked(() => tablesOf(domain).pin(mfn, level))
        : Errno.EINVAL,
    frameType(domain, mfn) {
      const { types } = tablesOf(domain);
      const type = types.typeInUse(mfn);
      return { level: type <= PGT.l4_page_table ? type : 0, pinned: types.isPinned(mfn) };
    },
    extended: readExtended,
    setExtended: writeExtended,
    cpuid: (domain, leaf, subleaf) => policy.query(leaf, subleaf, cpuidQuery(domain, 0, options.xenVersion)),
    checkContext: (domain, at) => domain.locked(() => checkContext(domain, tablesOf(domain), at)),
    assign(domain, mfn, pfn) {
      const { types } = tablesOf(domain);
      types.setCount(mfn, PGC_allocated | 0);
      types.setWord(mfn, PGT.none);
      setM2p(domain, mfn, pfn < 0 ? 0xffff_ffff : loOf(pfn), pfn < 0 ? 0xffff_ffff : hiOf(pfn));
    },
    release: (domain, mfn) => tablesOf(domain).types.release(mfn),
    getPage: (domain, mfn) => tablesOf(domain).types.getPage(mfn),
    putPage: (domain, mfn) => tablesOf(domain).types.putPage(mfn),
    getWritable: (domain, mfn) => tablesOf(domain).getPageAndType(mfn, PGT.writable_page) === 0,
    putWritable: (domain: Domain, mfn: Mfn) => tablesOf(domain).putPageAndType(mfn),
    pfnOf: m2p,
    createVcpu: (vcpu) => {
      if (options.transitions ?? true) vcpu.processor.installHooks?.(transitions(options.xenVersion));
      return new PvPlatform(kind, vcpu, policy, options.xenVersion);
    },
  };
  return kind;
}
