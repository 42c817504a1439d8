/**
 * A domain, as a view of its shared memory: every thread that has to do with the domain has a `Domain` of its own over
 * the same bytes, so nothing may be kept here that another thread would have to know.
 *
 * Order of locking: there is one lock per domain and no thread holds two.
 */
import type { HostAddress, Mfn } from '../abi/numbers.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import { shutdownReasons } from './control.ts';
import type { DomainLayout } from './domain-memory.ts';
import { cpuRegionAt, vcpuAt } from './domain-memory.ts';
import { DomainState, PGC_allocated, PGC_count_mask, PageInfo, VcpuState } from './state.ts';
import { SpinLock } from './spin-lock.ts';

/** Lock holders: 1 is the main thread, 2 + n the thread of vCPU n. */
export const MAIN_THREAD = 1;
export const vcpuThread = (vcpu: number): number => 2 + vcpu;

const NOT_SHUT_DOWN = -1;

type DomainField =
  | 'totPages'
  | 'sharedPages'
  | 'maxPages'
  | 'mapPages'
  | 'vmAssist'
  | 'evtchnAbi'
  | 'fifoPages'
  | 'grantVersion'
  | 'grantFrames'
  | 'statusFrames'
  | 'maxGrantVersion'
  | 'maxEvtchnPort'
  | 'freeCursor'
  | 'suspendMfn'
  | 'pirqEoiMfn';

export class Domain {
  readonly domid: number;
  readonly layout: DomainLayout;
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly view: DataView;
  /** Host address of DomainState. */
  readonly at: HostAddress;
  readonly #lock: SpinLock;
  readonly #thread: number;
  #lockDepth = 0;

  constructor(domid: number, memory: WebAssembly.Memory, layout: DomainLayout, thread: number) {
    this.domid = domid;
    this.memory = memory;
    this.layout = layout;
    this.u8 = new Uint8Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.f64 = new Float64Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.at = layout.domainAt;
    this.#lock = new SpinLock(this.i32, this.#word(DomainState.at.lock));
    this.#thread = thread;
  }

  get thread(): number {
    return this.#thread;
  }

  // --- lock -------------------------------------------------------------------------------------------------------

  /** Runs `body` under the domain's lock; may be nested within one thread. */
  locked<T>(body: () => T): T {
    this.lock();
    try {
      return body();
    } finally {
      this.unlock();
    }
  }

  lock(): void {
    if (this.#lockDepth++ === 0) this.#lock.acquire(this.#thread);
  }

  unlock(): void {
    if (--this.#lockDepth === 0) this.#lock.release();
  }

  /** Gives the lock away while `rest` runs, however often this thread has taken it. */
  breathe(rest: () => void): void {
    const depth = this.#lockDepth;
    if (depth === 0) return rest();
    this.#lockDepth = 0;
    this.#lock.release();
    try {
      rest();
    } finally {
      this.#lock.acquire(this.#thread);
      this.#lockDepth = depth;
    }
  }

  /** The thread of a vCPU is gone, perhaps while it held the lock. */
  threadEnded(thread: number): void {
    this.#lock.breakHeldBy(thread);
  }

  // --- frames -----------------------------------------------------------------------------------------------------

  /** True for every frame of the domain, the ones Xen owns included. */
  hasFrame(mfn: number): boolean {
    return mfn >= 0 && mfn < this.layout.totalFrames && Number.isInteger(mfn);
  }

  /** True for a frame of guest RAM that is part of the reservation now. */
  isRam(mfn: number): boolean {
    return mfn >= 0 && mfn < this.layout.maxPages && Number.isInteger(mfn) && (this.countOf(mfn) & PGC_allocated) !== 0;
  }

  /** Host address of a frame. The caller has checked the number. */
  frameAt(mfn: Mfn): HostAddress {
    return this.layout.framesAt + mfn * PAGE_SIZE;
  }

  frame(mfn: Mfn): Uint8Array {
    const at = this.frameAt(mfn);
    return this.u8.subarray(at, at + PAGE_SIZE);
  }

  /** Host address of page_info[mfn]. */
  pageInfoAt(mfn: Mfn): HostAddress {
    return this.layout.pageInfoAt + mfn * PageInfo.size;
  }

  countOf(mfn: Mfn): number {
    return this.u32[(this.pageInfoAt(mfn) + PageInfo.at.count) >>> 2] ?? 0;
  }

  setCount(mfn: Mfn, value: number): void {
    this.u32[(this.pageInfoAt(mfn) + PageInfo.at.count) >>> 2] = value;
  }

  typeOf(mfn: Mfn): number {
    return this.u32[(this.pageInfoAt(mfn) + PageInfo.at.type) >>> 2] ?? 0;
  }

  setType(mfn: Mfn, value: number): void {
    this.u32[(this.pageInfoAt(mfn) + PageInfo.at.type) >>> 2] = value;
  }

  /** References that keep a frame from being given away: the PV platform counts mappings here. */
  referencesOf(mfn: Mfn): number {
    return this.countOf(mfn) & PGC_count_mask;
  }

  // --- state ------------------------------------------------------------------------------------------------------

  get pauseCount(): number {
    return Atomics.load(this.i32, this.#word(DomainState.at.pauseCount));
  }

  pause(): void {
    Atomics.add(this.i32, this.#word(DomainState.at.pauseCount), 1);
    this.kickAll();
  }

  /** False when the domain was not paused. */
  unpause(): boolean {
    const index = this.#word(DomainState.at.pauseCount);
    if (Atomics.load(this.i32, index) === 0) return false;
    Atomics.sub(this.i32, index, 1);
    this.kickAll();
    return true;
  }

  /** SHUTDOWN_*, or undefined while the domain runs. */
  get shutdownCode(): number | undefined {
    const code = Atomics.load(this.i32, this.#word(DomainState.at.shutdownCode));
    return code === NOT_SHUT_DOWN ? undefined : code;
  }

  /** The first reason stays. False when the domain had shut down before. */
  shutDown(code: number): boolean {
    const index = this.#word(DomainState.at.shutdownCode);
    const first = Atomics.compareExchange(this.i32, index, NOT_SHUT_DOWN, code) === NOT_SHUT_DOWN;
    this.kickAll();
    return first;
  }

  /** The end of a shutdown for `code`; false when it is none. Its first vCPU learns of it as the result of its hypercall. */
  resume(code: number): boolean {
    if (this.shutdownCode !== code) return false;
    Atomics.store(this.i32, (this.vcpuAt(0) + VcpuState.at.cancelled) >>> 2, 1);
    Atomics.store(this.i32, this.#word(DomainState.at.shutdownCode), NOT_SHUT_DOWN);
    return true;
  }

  crash(): boolean {
    return this.shutDown(shutdownReasons.crash);
  }

  get dying(): boolean {
    return Atomics.load(this.i32, this.#word(DomainState.at.dying)) !== 0;
  }

  die(): void {
    Atomics.store(this.i32, this.#word(DomainState.at.dying), 1);
    this.kickAll();
  }

  /** A fresh memory is zero; what must not be zero is set here, once, by the thread that creates the domain. */
  initialise(): void {
    const { maxPages, maxEvtchnPort } = this.layout;
    DomainState.write(this.view, this.at, { maxPages, mapPages: maxPages, maxEvtchnPort });
    this.begin();
  }

  /** Another one's memory has become this domain's, which is paused. */
  begin(): void {
    DomainState.write(this.view, this.at, {
      lock: 0,
      pauseCount: 1,
      shutdownCode: NOT_SHUT_DOWN,
      domid: this.domid,
      grantVersion: 1,
      watchdogs: [0, 0],
    });
  }

  get(field: DomainField): number {
    return this.u32[(this.at + DomainState.at[field]) >>> 2] ?? 0;
  }

  set(field: DomainField, value: number): void {
    this.u32[(this.at + DomainState.at[field]) >>> 2] = value;
  }

  // --- vCPUs ------------------------------------------------------------------------------------------------------

  hasVcpu(vcpu: number): boolean {
    return Number.isInteger(vcpu) && vcpu >= 0 && vcpu < this.layout.maxVcpus;
  }

  /** Host address of a vCPU's VcpuState. */
  vcpuAt(vcpu: number): HostAddress {
    return vcpuAt(this.layout, vcpu);
  }

  /** Makes a vCPU look at its state again: leaves the guest soon, or wakes up. Its own thread is awake as it is. */
  kick(vcpu: number): void {
    this.askToLeave(vcpu);
    if (this.#thread === vcpuThread(vcpu)) return;
    const wake = (this.vcpuAt(vcpu) + VcpuState.at.wake) >>> 2;
    Atomics.add(this.i32, wake, 1);
    Atomics.notify(this.i32, wake);
  }

  /** Makes a vCPU that is in the guest come out; one that sleeps goes on sleeping. */
  askToLeave(vcpu: number): void {
    const request = cpuRegionAt(this.layout, vcpu) + this.layout.processor.exitRequest;
    Atomics.store(this.i32, request >>> 2, 1);
  }

  /** Ends SCHEDOP_block and SCHEDOP_poll of a vCPU, and kicks it. */
  unblock(vcpu: number): void {
    Atomics.store(this.i32, (this.vcpuAt(vcpu) + VcpuState.at.blocked) >>> 2, 0);
    this.kick(vcpu);
  }

  kickAll(): void {
    for (let vcpu = 0; vcpu < this.layout.maxVcpus; vcpu++) this.kick(vcpu);
  }

  #word(offset: number): number {
    return (this.layout.domainAt + offset) >>> 2;
  }
}
