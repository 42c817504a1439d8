/**
 * What a vCPU's loop leaves to the kind of guest. src/hypervisor/pv implements it for PV guests.
 *
 * Contract of the hooks: the processor is where its exit left it (src/cpu, Exit); a hook puts it where the guest goes
 * on. A guest that cannot go on is ended with `vcpu.crash(reason)`. None of them throws because of what a guest did.
 */
import type { HostAddress, Mfn, Vaddr } from '../abi/numbers.ts';
import type { VcpuExtended } from './control.ts';
import type { Domain } from './domain.ts';
import type { HypercallRow } from './hypercall.ts';
import type { Vcpu } from './vcpu.ts';

/** One vCPU's platform; lives in the vCPU's thread. */
export interface Platform {
  readonly kind: PlatformKind;
  /** Rows this platform adds to the common table of hypercalls; a number may appear once in both together. */
  readonly hypercalls: readonly HypercallRow[];
  /** Loads the vcpu_guest_context at host address `at` (a copy, `vcpu.contextAt`): the vCPU's first instruction is next. */
  loadContext(at: HostAddress): void;
  /** Writes it there: the vCPU rests. */
  saveContext(at: HostAddress): void;
  onException(): void;
  /** User mode: bounces to the syscall callback. Kernel mode never comes here: the loop dispatches the hypercall. */
  onUserSyscall(): void;
  onSysenter(): void;
  onSoftwareInterrupt(): void;
  onPrivileged(): void;
  onCpuid(): void;
  /** `vcpu.eventsDeliverable` holds: bounce to the event callback, mask := 1. */
  deliverUpcall(): void;
  /** Another vCPU changed page tables (`tlbFlush` word was set), or a frame was replaced. */
  flushTlb(): void;
  /** VCPUOP_send_nmi */
  raiseNmi(): void;
  controlRegisters(): {
    readonly cr0: number;
    readonly cr2: Vaddr;
    readonly cr3: number;
    readonly cr4: number;
    readonly gsShadow: Vaddr;
  };
}

/** One domain's platform, in whatever thread asks. */
export interface PlatformKind {
  readonly name: 'pv';
  /** Main thread, after the RAM was populated: M2P, tables of Xen's own slots. */
  populated(domain: Domain): void;
  /** mmuext_op PIN_Ln_TABLE on behalf of the builder; 0 or a negative errno. */
  pinTable(domain: Domain, mfn: Mfn, level: number): number;
  /** The level of the page table that a frame is in use as, 0: none. */
  frameType(domain: Domain, mfn: Mfn): { readonly level: number; readonly pinned: boolean };
  /** What a vCPU that rests has beside its vcpu_guest_context, and what it gets with one. */
  extended(domain: Domain, vcpu: number): VcpuExtended;
  setExtended(domain: Domain, vcpu: number, extended: VcpuExtended): void;
  /** EAX, EBX, ECX and EDX of a leaf as the domain's first vCPU sees it. */
  cpuid(domain: Domain, leaf: number, subleaf: number): readonly [number, number, number, number];
  /** Checks a vcpu_guest_context at `at` (VCPUOP_initialise, setvcpucontext) and takes what references it needs; 0 or errno. */
  checkContext(domain: Domain, at: HostAddress): number;
  /** A frame enters the reservation as the guest's `pfn` (-1: none yet): count, type and M2P. Under the domain's lock, like all below. */
  assign(domain: Domain, mfn: Mfn, pfn: number): void;
  /** guest_remove_page: a RAM frame leaves the reservation; false when it was not part of it. */
  release(domain: Domain, mfn: Mfn): boolean;
  /** A general reference to a frame of the domain (get_page); it keeps the frame from being handed out again. */
  getPage(domain: Domain, mfn: Mfn): boolean;
  putPage(domain: Domain, mfn: Mfn): void;
  /**
   * Takes a reference that keeps a frame in the reservation and writable (get_page_and_type PGT_writable_page): for
   * event arrays, vcpu_info, granted frames. False when the frame is a page table or descriptor page, or not RAM.
   */
  getWritable(domain: Domain, mfn: Mfn): boolean;
  putWritable(domain: Domain, mfn: Mfn): void;
  /** The guest's number of a frame of RAM, if it has one. */
  pfnOf(domain: Domain, mfn: Mfn): number | undefined;
  createVcpu(vcpu: Vcpu): Platform;
}
