/**
 * A vCPU as its own thread sees it: the state in shared memory, the processor, the platform and the way out.
 */
import { VcpuInfo } from '../abi/arch-x86.ts';
import type { HostAddress, SystemTime } from '../abi/numbers.ts';
import { cpuRegionAt, vcpuBlock } from './domain-memory.ts';
import type { Domain } from './domain.ts';
import { GuestAccess } from './guest-access.ts';
import type { Clock, Glue } from './host-services.ts';
import type { Platform } from './platform.ts';
import { shutdownReasons } from './control.ts';
import { collectCrash } from './crash-collect.ts';
import type { Processor } from './processor.ts';
import { VcpuState } from './state.ts';

type Word =
  | 'wake'
  | 'running'
  | 'blocked'
  | 'online'
  | 'initialised'
  | 'contextPending'
  | 'contextWanted'
  | 'cancelled'
  | 'tlbFlush'
  | 'writtenCount'
  | 'yieldHeld'
  | 'nmiPending'
  | 'pollPort';
type Number32 =
  | 'infoAt'
  | 'infoRegistered'
  | 'kernelMode'
  | 'runstate'
  | 'fifoControlAt'
  | 'ioplRing'
  | 'ioBitmapPorts'
  | 'infoMfn'
  | 'infoOffset';
type Double =
  | 'runstateSince'
  | 'singleshot'
  | 'period'
  | 'nextPeriodic'
  | 'pollTimeout'
  | 'runstateVa'
  | 'timeVa'
  | 'ioBitmapVa'
  | 'handlingNs';

export class Vcpu {
  readonly id: number;
  readonly domain: Domain;
  readonly processor: Processor;
  readonly guest: GuestAccess;
  readonly clock: Clock;
  readonly glue: Glue;
  /** Host address of VcpuState. */
  readonly at: HostAddress;
  /** Host address of the PV platform's block of this vCPU (PV_VCPU_BLOCK bytes). */
  readonly pvAt: HostAddress;
  /** Host address of the vcpu_guest_context that the vCPU starts with. */
  readonly contextAt: HostAddress;
  readonly #exitRequest: number;
  #platform: Platform | undefined;

  constructor(domain: Domain, id: number, processor: Processor, clock: Clock, glue: Glue) {
    this.domain = domain;
    this.id = id;
    this.processor = processor;
    this.clock = clock;
    this.glue = glue;
    this.guest = new GuestAccess(domain, processor);
    this.at = domain.vcpuAt(id);
    this.pvAt = this.at + vcpuBlock.pv;
    this.contextAt = this.at + vcpuBlock.context;
    this.#exitRequest = (cpuRegionAt(domain.layout, id) + domain.layout.processor.exitRequest) >>> 2;
  }

  get platform(): Platform {
    if (this.#platform === undefined) throw new Error('vcpu: no platform attached');
    return this.#platform;
  }

  attach(platform: Platform): void {
    this.#platform = platform;
  }

  // --- state in shared memory -------------------------------------------------------------------------------------

  load(word: Word): number {
    return Atomics.load(this.domain.i32, (this.at + VcpuState.at[word]) >>> 2);
  }

  store(word: Word, value: number): void {
    Atomics.store(this.domain.i32, (this.at + VcpuState.at[word]) >>> 2, value);
  }

  get(field: Number32): number {
    return this.domain.u32[(this.at + VcpuState.at[field]) >>> 2] ?? 0;
  }

  set(field: Number32, value: number): void {
    this.domain.u32[(this.at + VcpuState.at[field]) >>> 2] = value;
  }

  getDouble(field: Double): number {
    return this.domain.f64[(this.at + VcpuState.at[field]) >>> 3] ?? 0;
  }

  setDouble(field: Double, value: number): void {
    this.domain.f64[(this.at + VcpuState.at[field]) >>> 3] = value;
  }

  /** The PV flag: kernel mode or user mode, both at CPL 3. */
  get kernelMode(): boolean {
    return this.get('kernelMode') !== 0;
  }

  set kernelMode(value: boolean) {
    this.set('kernelMode', value ? 1 : 0);
  }

  /** Somebody waits for this vCPU to come out: a long hypercall is to be continued later. */
  get exitRequested(): boolean {
    return Atomics.load(this.domain.i32, this.#exitRequest) !== 0;
  }

  takeExitRequest(): boolean {
    return Atomics.exchange(this.domain.i32, this.#exitRequest, 0) !== 0;
  }

  now(): SystemTime {
    return this.clock.now();
  }

  // --- vcpu_info --------------------------------------------------------------------------------------------------

  /** Host address of the vcpu_info in use; vCPUs above 31 have none until they register one. */
  get infoAt(): HostAddress {
    return this.get('infoAt');
  }

  get upcallPending(): boolean {
    const at = this.infoAt;
    return at !== 0 && Atomics.load(this.domain.u8, at + VcpuInfo.at.evtchn_upcall_pending) !== 0;
  }

  get upcallMask(): boolean {
    const at = this.infoAt;
    return at === 0 || this.domain.u8[at + VcpuInfo.at.evtchn_upcall_mask] !== 0;
  }

  set upcallMask(masked: boolean) {
    const at = this.infoAt;
    if (at !== 0) Atomics.store(this.domain.u8, at + VcpuInfo.at.evtchn_upcall_mask, masked ? 1 : 0);
  }

  /** An upcall is due: pending and not masked. Tested on every return to the guest. */
  get eventsDeliverable(): boolean {
    const at = this.infoAt;
    const { u8 } = this.domain;
    if (at === 0 || Atomics.load(u8, at + VcpuInfo.at.evtchn_upcall_pending) === 0) return false;
    return u8[at + VcpuInfo.at.evtchn_upcall_mask] === 0;
  }

  /**
   * The guest must not go on before the loop has looked at the vCPU's state again. For what this thread did itself;
   * others raise the exit request.
   */
  attention = false;

  /** What console_io got since the last line ended. */
  consoleLine = '';

  /** SCHEDOP_yield: ends the turn. */
  yielding = false;

  // --- the end ----------------------------------------------------------------------------------------------------

  /** domain_crash(): the guest cannot go on; the host lives. Leaves registers and stack in the log. */
  crash(reason: string): void {
    this.attention = true;
    if (this.domain.crash()) {
      this.glue.crashed(collectCrash(this, reason));
      this.glue.domainException();
    }
  }

  /** The domain shuts down for `reason` (SHUTDOWN_*), by its own will or not. */
  shutDown(reason: number): void {
    this.attention = true;
    if (!this.domain.shutDown(reason)) return;
    // Departs from Xen, which says nothing of a guest that reports its own crash: the log tells where a kernel panicked.
    if (reason === shutdownReasons.crash) this.glue.crashed(collectCrash(this, ''));
    this.glue.domainException();
  }
}
