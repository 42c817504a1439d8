/**
 * The control interface: what domain 0's services and the toolstack see of the hypervisor. Verbs follow the names of
 * xen/include/public/domctl.h and sysctl.h. Types only, and the one error; src/hypervisor/hypervisor.ts is behind it.
 */
import type { Errno } from '../abi/errno.ts';
import { errnoName } from '../abi/errno.ts';

/** A control operation was refused; `errno` is the negative number that Xen returns. */
export class HypercallError extends Error {
  override readonly name = 'HypercallError';
  readonly errno: Errno;

  constructor(errno: Errno, what: string) {
    super(`${what}: ${errnoName(errno)}`);
    this.errno = errno;
  }
}

export interface HypervisorControl {
  readonly version: XenVersion;
  /** sysctl physinfo */
  physInfo(): PhysInfo;
  /** domctl createdomain. The new domain is paused (pause count 1). Throws HypercallError. */
  createDomain(config: CreateDomain): DomainControl;
  domain(domid: number): DomainControl | undefined;
  /** Ascending by domid; dom0 is the first. A dying domain stays until its memory is dropped. */
  domains(): readonly DomainControl[];
  /** sysctl readconsole: the hypervisor's log ring, 16 KiB. */
  readConsole(options?: { readonly clear?: boolean }): string;
  /**
   * Hears each line that comes into the log ring: VIRQ_CON_RING, and readconsole with an index that goes on. The listener returns
   * soon and never throws. Returns the unsubscriber.
   */
  onConsoleLine(listener: (line: string) => void): () => void;
  /** sysctl set_parameter: `loglvl=` and `guest_loglvl=`. Throws HypercallError, with ENOENT for any other. */
  setParameters(text: string): void;
  /** Adds a line to the hypervisor's log, as Xen's own printk does. The prefix `(XEN) ` is added here. */
  log(level: LogLevel, line: string): void;
  /** VIRQ_DOM_EXC: a domain shut down, crashed or is gone; look at `domain(domid)?.info()`. Returns the unsubscriber. */
  onDomainException(callback: (domid: number) => void): () => void;
  /**
   * Binds a port of domain 0 to one that `remoteDomid` has allocated for it. `onEvent` runs on the main thread, once
   * for any number of events that came together, and runs once soon after the binding, since Xen marks the new port
   * pending (event_channel.h, EVTCHNOP_bind_interdomain). Throws HypercallError.
   */
  bindInterdomain(remoteDomid: number, remotePort: number, onEvent: () => void): LocalPort;
}

/** One end of an event channel in domain 0. */
export interface LocalPort {
  readonly port: number;
  notify(): void;
  /** So many events from now on wake nobody, at most 127: it is known that they will come, and that they say nothing. 0: all are heard again. */
  ignore(events: number): void;
  /** The remote port becomes unbound again. Closing twice, or after the remote domain is gone, does nothing. */
  close(): void;
}

export const logLevels = {
  error: 0,
  warning: 1,
  info: 2,
  debug: 3,
  guestError: 4,
  guestWarning: 5,
  guestInfo: 6,
  guestDebug: 7,
} as const;
export type LogLevel = keyof typeof logLevels;

export interface XenVersion {
  readonly major: number;
  readonly minor: number;
  readonly extraVersion: string;
  readonly compiler: string;
  readonly compileBy: string;
  readonly compileDomain: string;
  readonly compileDate: string;
  /** `xen-3.0-x86_64 ` and so on, each followed by a space. */
  readonly capabilities: string;
  readonly changeset: string;
  readonly commandLine: string;
  readonly buildId: string;
  readonly pageSize: number;
  /** XENVER_platform_parameters, as `0x…`. */
  readonly virtStart: string;
  /** `credit2`: what sysctl sched_id names. */
  readonly scheduler: string;
}

export interface PhysInfo {
  readonly nrCpus: number;
  readonly maxCpuId: number;
  readonly nrNodes: number;
  readonly coresPerSocket: number;
  readonly threadsPerCore: number;
  readonly cpuKhz: number;
  readonly hwCap: readonly number[];
  readonly capabilities: {
    readonly hvm: boolean;
    readonly pv: boolean;
    readonly directIo: boolean;
    readonly hap: boolean;
    readonly shadow: boolean;
    readonly grantV1: boolean;
    readonly grantV2: boolean;
  };
  readonly totalPages: number;
  readonly freePages: number;
  readonly scrubPages: number;
  readonly outstandingPages: number;
  readonly maxMfn: number;
}

export interface CreateDomain {
  /** The number to have, EEXIST when it is in use; without it the next free one. */
  readonly domid?: number;
  /** The UUID, 16 bytes. */
  readonly handle: Uint8Array;
  readonly maxVcpus: number;
  /** What the domain may ever hold: xl's maxmem. Address space is set aside for all of it. */
  readonly maxMemKiB: number;
  /** The RAM in the guest's memory map, as xc_domain_set_memmap_limit sets it; default: maxMemKiB. */
  readonly memmapLimitKiB?: number;
  /** Default 1023, as libxl. */
  readonly maxEvtchnPort?: number;
  /** Default 64, as libxl. */
  readonly maxGrantFrames?: number;
  /** Highest grant table version the guest may ask for; default 2. */
  readonly maxGrantVersion?: 1 | 2;
  /** The domain has its memory and vCPUs, and with them the sizes above. What it shares with the template is not counted as taken from the host. */
  readonly template?: DomainTemplate;
  /** With a template: it will run as soon as it is complete, so that its threads can begin. */
  readonly runsSoon?: boolean;
}

/** A domain at rest, for any number of others to begin from: see `DomainControl.freeze`. It does not depend on the domain any more. */
export interface DomainTemplate {
  /** What began from it goes on. */
  close(): void;
}

/** SHUTDOWN_* of xen/include/public/sched.h. */
export const shutdownReasons = { poweroff: 0, reboot: 1, suspend: 2, crash: 3, watchdog: 4, soft_reset: 5 } as const;
/** Why a kernel has stopped, in the words of SHUTDOWN_*. */
export type ShutdownReason = keyof typeof shutdownReasons;

/** domctl getdomaininfo */
export interface DomainInfo {
  readonly domid: number;
  readonly handle: Uint8Array;
  readonly dying: boolean;
  readonly shutdown: boolean;
  readonly paused: boolean;
  readonly blocked: boolean;
  readonly running: boolean;
  /** Present when `shutdown`: the number the guest gave, SHUTDOWN_*. */
  readonly shutdownReason?: number;
  readonly totPages: number;
  readonly maxPages: number;
  readonly sharedInfoMfn: number;
  readonly cpuTimeNs: number;
  readonly nrOnlineVcpus: number;
  readonly maxVcpuId: number;
}

/** domctl getvcpuinfo */
export interface VcpuInfo {
  readonly vcpu: number;
  readonly online: boolean;
  readonly blocked: boolean;
  readonly running: boolean;
  readonly cpuTimeNs: number;
  /** Guest instructions executed so far. */
  readonly instructions: number;
  /** The processor that it runs on, or did last. */
  readonly cpu: number;
}

/** Where and how much a domain runs: domctl scheduler_op and setvcpuaffinity, and what its CPU pool adds. */
export interface DomainScheduling {
  readonly weight: number;
  /** In hundredths of a processor, for all its vCPUs; 0: no cap. */
  readonly cap: number;
  readonly ratelimitUs: number;
  /** Of each vCPU the processors that it may run on, at least one. */
  readonly cpus: readonly (readonly number[])[];
}

/** Where a vCPU spends its time. Counts of 32 bits go on at 0 after 2^32 - 1, so only their differences mean something. */
export interface VcpuProfile {
  /** Guest instructions executed so far. */
  readonly instructions: number;
  /** Nanoseconds in RUNSTATE_running so far. */
  readonly runningNs: number;
  /** Of these, in the hypervisor on account of exits; an estimate. */
  readonly handlingNs: number;
  /** By name (src/cpu/exits.ts), 32 bits. */
  readonly exits: Readonly<Record<string, number>>;
  /** The translator's regions: those that can run, those that wait for the compiler; compiled and given up so far, 32 bits. */
  readonly regions: number;
  readonly waiting: number;
  readonly compiled: number;
  readonly dropped: number;
  /** Samples of where the guest is, one for each `sampleInterval` instructions: how many so far (32 bits), and the new ones. */
  readonly sampled: number;
  readonly sampleInterval: number;
  readonly samples: readonly ProfileSample[];
}

export interface ProfileSample {
  /** A guest can have any address here. */
  readonly rip: number;
  /** Translated code, rather than interpreted. */
  readonly translated: boolean;
  /** User mode, rather than the kernel. */
  readonly user: boolean;
}

/** domctl setvcpucontext. Absent members have the values of a fresh PV vCPU (selectors 0xe033/0xe02b, flags 0x202 …). */
export interface VcpuContext {
  /** Addresses are signed numbers: 0xffffffff81000000 is -0x7f000000. */
  readonly rip: number;
  readonly rsp: number;
  readonly rsi: number;
  /** The pinned L4 table. */
  readonly cr3Mfn: number;
  readonly rflags?: number;
  readonly cs?: number;
  readonly ss?: number;
}

/** What a vCPU has beside its vcpu_guest_context. */
export interface VcpuExtended {
  readonly syscall32Callback: number;
  readonly sysenterCallback: number;
  readonly syscall32DisablesEvents: boolean;
  readonly sysenterDisablesEvents: boolean;
  readonly tscAux: number;
}

/** Guest memory as the builder and the backends see it: the same bytes, no copies. */
export interface GuestFrames {
  /** Throws RangeError for a frame number the domain does not have, so backends check numbers from rings with `has`. */
  view(mfn: number): Uint8Array;
  has(mfn: number): boolean;
  /** By machine address; may span frames. Throws RangeError outside the domain's frames. */
  bytes(address: number, length: number): Uint8Array;
  /** Over the whole memory of the domain; frame `mfn` begins at `base + mfn * 4096`. */
  readonly dataView: DataView;
  readonly base: number;
  readonly count: number;
  /** To be called after writing a frame that may hold code; ring pages and data buffers are exempt while nobody executes them. */
  wrote(mfn: number, offset: number, length: number): void;
}

export interface GrantMapping {
  readonly mfn: number;
  unmap(): void;
}

/** Grants that were mapped together. */
export interface GrantBatch {
  /** In the order in which they were asked for: the frame, or a negative GNTST_* number for a grant that may not be mapped. */
  readonly frames: Int32Array;
  /** The first such number, in order; GNTST_okay when all are mapped. */
  readonly status: number;
  /** Lets go of all of them; calling it again does nothing. */
  unmap(): void;
}

/** One element of `grantCopy`. */
export interface GrantCopy {
  readonly ref: number;
  /** Of the first byte in the granted page. */
  readonly offset: number;
  /** Domain 0's end: what is written into the page, or filled from it. */
  readonly bytes: Uint8Array;
  readonly direction: 'to grant' | 'from grant';
}

/** Names for addresses in crash dumps and profiles, e.g. from the guest kernel's own symbol table. */
export type Symbolizer = (
  va: number,
) => { readonly name: string; readonly offset: number; readonly size: number } | undefined;

export interface DomainControl {
  readonly domid: number;
  readonly frames: GuestFrames;
  readonly sharedInfoMfn: number;
  info(): DomainInfo;
  vcpuInfo(vcpu: number): VcpuInfo | undefined;
  /** memory_op populate_physmap by the builder: RAM frames 0 … nrPages-1, zeroed. Once per domain. Throws HypercallError. */
  populate(nrPages: number): void;
  /** domctl max_mem */
  setMaxMem(kib: number): void;
  /** domctl setdomainhandle */
  setHandle(handle: Uint8Array): void;
  /** domctl hypercall_init: fills the page with the PV hypercall stubs. */
  hypercallInit(mfn: number): void;
  /** EVTCHNOP_alloc_unbound on behalf of the domain; the first is port 1. Throws HypercallError. */
  allocUnbound(remoteDomid: number): number;
  /** Seeds a grant entry (refs 0 console, 1 xenstore) so that domain 0 may map the frame. */
  seedGrant(ref: number, mfn: number): void;
  /** Domain 0 maps a grant of the domain; a negative GNTST_* status number when it may not. */
  grantMap(ref: number, options: { readonly readonly: boolean }): GrantMapping | number;
  /**
   * GNTTABOP_map_grant_ref with a count: as `grantMap` of each, with few passages through the domain's lock. Some may be mapped
   * and others not; `unmap` is to be called in any case.
   */
  grantMapBatch(refs: readonly number[], options: { readonly readonly: boolean }): GrantBatch;
  /**
   * GNTTABOP_copy between granted pages and domain 0's memory, one after the other: a GNTST_* number for each, GNTST_okay when
   * it was copied. No grant stays in use, and code in the pages need not be announced with `frames.wrote`.
   */
  grantCopy(copies: readonly GrantCopy[]): Int32Array;
  /** memory_op populate_physmap where a domain is restored: these frames of RAM, for the pages of the same numbers. Throws HypercallError. */
  populatePhysmap(pfns: readonly number[]): void;
  /** mmuext_op PIN_Ln_TABLE with the domain's frames. Throws HypercallError when validation fails. */
  pinTable(mfn: number, level: number): void;
  /** domctl getpageframeinfo3: the level of the page table that a frame is in use as, 0: none. */
  frameType(mfn: number): { readonly level: number; readonly pinned: boolean };
  /** Throws HypercallError. */
  setVcpuContext(vcpu: number, context: VcpuContext): void;
  setScheduling(scheduling: DomainScheduling): void;
  /** domctl getvcpucontext: a `vcpu_guest_context`, for which the domain pauses. Undefined for a vCPU that never began. */
  getVcpuContext(vcpu: number): Uint8Array | undefined;
  /** domctl get_ext_vcpucontext and get_vcpu_msrs. */
  vcpuExtended(vcpu: number): VcpuExtended;
  /** domctl setvcpucontext, set_ext_vcpucontext and set_vcpu_msrs: the vCPU goes on from there. Throws HypercallError. */
  restoreVcpu(vcpu: number, context: Uint8Array, extended: VcpuExtended): void;
  /** domctl gettscinfo */
  tscInfo(): { readonly mode: number; readonly khz: number; readonly nsec: number; readonly incarnation: number };
  /** domctl get_cpu_policy: EAX, EBX, ECX and EDX of a leaf as the domain's first vCPU sees it. */
  cpuid(leaf: number, subleaf: number): readonly [a: number, b: number, c: number, d: number];
  /** What the guest calls a frame of its RAM, by the machine-to-physical table; undefined for other frames. */
  pfnOf(mfn: number): number | undefined;
  /** domctl sendtrigger with XEN_DOMCTL_SENDTRIGGER_NMI. Throws HypercallError, with ESRCH for a vCPU that there is not. */
  sendNmi(vcpu: number): void;
  setSymbols(symbolize: Symbolizer): void;
  /** What `setSymbols` gave, if anything. */
  readonly symbolize: Symbolizer | undefined;
  /**
   * A reading of what the vCPU counts. With `since`, the `sampled` of an earlier reading, the samples after it as far as
   * they are still there: some thousand are kept. Undefined for a vCPU that has no processor here.
   */
  profile(vcpu: number, since?: number): VcpuProfile | undefined;
  pause(): void;
  unpause(): void;
  /** The toolstack's verdict on a running domain, as XEN_DOMCTL shutdown by `xl`; normal is asking through xenstore. */
  shutdown(reason: ShutdownReason): void;
  /** domctl resumedomain, after a suspend: the guest goes on here and is told that it was cancelled. Throws HypercallError. */
  resume(): void;
  /** Most of the work of a `freeze` that follows, in many turns of the event loop; no vCPU of the domain runs meanwhile. Rejects with HypercallError: EINVAL. */
  prepareFreeze(): Promise<void>;
  /**
   * The domain as it is now, after a suspend or before it goes on from a restore. Its clones are in the state of a domain that was just restored, with all frame numbers as they were:
   * no port, no grant, events masked, each vCPU that is online at its context. Throws HypercallError: EINVAL for a domain that runs, ENOMEM.
   */
  freeze(): DomainTemplate;
  /** domctl destroydomain: resolves when the vCPUs have ended and the memory is dropped. */
  destroy(): Promise<void>;
}
