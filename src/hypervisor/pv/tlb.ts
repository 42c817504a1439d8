/**
 * TLB times. A frame may become a page table only when no TLB can still let it be written; a table that is written
 * behind Xen's back would make its counts of uses wrong. Flushing at every such change would cost more than anything
 * else here, so each frame remembers when its last writable mapping went, each TLB when it was last emptied, and both
 * are compared, as in xen/arch/x86/flushtlb.c.
 *
 * What a flush or a load of CR3 has to drop is what was changed since the last one: table-changes.ts keeps account of it.
 *
 * The clock counts flushes, modulo 2^26. So that no age is ever ambiguous, every TLB is emptied twice per round.
 */
import { VcpuState } from '../state.ts';
import type { Domain } from '../domain.ts';
import type { Processor } from '../processor.ts';
import type { Mfn, Vaddr } from '../../abi/numbers.ts';
import { PvDomainState } from './pv-domain.ts';
import { RecordedChanges } from './table-changes.ts';

const CLOCK_MASK = 0x03ff_ffff;
const ROUND_HALF = 0x01ff_ffff;
const PAUSE_MS = 0.02;

/** What page-table bookkeeping asks of the TLBs. */
export interface TlbControl {
  /** The time to note at a frame whose last writable mapping goes. */
  now(): number;
  /** A frame that was last writable at `time` becomes a table, or a segment-descriptor page: nobody may still write to it. */
  filteredFlush(time: number): void;
  readonly changes: RecordedChanges;
  /** A table entry above L1 changed: nothing translated through it may be used. */
  flushAll(): void;
  /** The frame is about to be written by Xen: it must not hold decoded code any more. */
  dropCode(mfn: Mfn): void;
  /** A moment for other threads, in the middle of long work. */
  pause(): void;
  /** Other vCPUs were asked to flush and may not have. */
  readonly unsettled: boolean;
  /** Waits for them. Without the domain's lock. */
  settle(): void;
}

/** Times of all TLBs of a domain, in shared memory. */
class TlbTimes {
  readonly domain: Domain;
  readonly #clock: number;
  readonly #times: number;

  constructor(domain: Domain) {
    this.domain = domain;
    this.#clock = (domain.layout.pvDomainAt + PvDomainState.at.tlbClock) >>> 2;
    this.#times = (domain.layout.pvDomainAt + PvDomainState.at.tlbTimes) >>> 2;
  }

  now(): number {
    return Atomics.load(this.domain.i32, this.#clock) & CLOCK_MASK;
  }

  /** A TLB set of a vCPU is empty now. */
  flushed(vcpu: number, space: 0 | 1): void {
    const time = (Atomics.add(this.domain.i32, this.#clock, 1) + 1) & CLOCK_MASK;
    this.domain.i32[this.#times + vcpu * 2 + space] = time;
    if ((time & ROUND_HALF) === 0)
      for (let other = 0; other < this.domain.layout.maxVcpus; other++) this.request(other);
  }

  /** Whether a TLB set may hold a translation made at `time`. */
  mayHold(vcpu: number, space: 0 | 1, time: number): boolean {
    const now = this.now();
    const flushed = this.domain.i32[this.#times + vcpu * 2 + space] ?? 0;
    return ((now - flushed) & CLOCK_MASK) >= ((now - time) & CLOCK_MASK);
  }

  /** Makes a vCPU empty its TLB before its next instruction. */
  request(vcpu: number): void {
    const { domain } = this;
    Atomics.store(domain.i32, (domain.vcpuAt(vcpu) + VcpuState.at.tlbFlush) >>> 2, 1);
    domain.kick(vcpu);
  }
}

/** For threads without a processor: the guest's vCPUs empty their TLBs before they go on. */
export class RemoteTlbs implements TlbControl {
  readonly changes: RecordedChanges;
  readonly #times: TlbTimes;

  constructor(domain: Domain) {
    this.#times = new TlbTimes(domain);
    this.changes = new RecordedChanges(domain);
  }

  now(): number {
    return this.#times.now();
  }

  filteredFlush(time: number): void {
    for (let vcpu = 0; vcpu < this.#times.domain.layout.maxVcpus; vcpu++) {
      if (this.#times.mayHold(vcpu, 0, time) || this.#times.mayHold(vcpu, 1, time)) this.#times.request(vcpu);
    }
  }

  flushAll(): void {
    for (let vcpu = 0; vcpu < this.#times.domain.layout.maxVcpus; vcpu++) this.#times.request(vcpu);
  }

  dropCode(): void {
    // Nothing runs yet in the domains that are changed from outside.
  }

  pause(): void {
    // The main thread has no time to give away, and in a browser it may not wait.
  }

  readonly unsettled = false;

  settle(): void {
    // The vCPUs have not begun, or see to it before they go on.
  }
}

/**
 * The TLB of one vCPU, with those of the others behind it. Requests to the others are only noted while the domain's
 * lock is held; `settle`, called without it, waits until they are carried out.
 */
export class Tlb implements TlbControl {
  readonly changes: RecordedChanges;
  readonly #vcpu: number;
  readonly #processor: Processor;
  readonly #times: TlbTimes;
  readonly #domain: Domain;
  readonly #others: readonly number[];
  /** vCPUs that were asked and may not have answered. */
  readonly #asked: number[] = [];

  constructor(domain: Domain, vcpu: number, processor: Processor) {
    this.#domain = domain;
    this.#vcpu = vcpu;
    this.#processor = processor;
    this.changes = new RecordedChanges(domain);
    this.#times = new TlbTimes(domain);
    this.#others = Array.from({ length: domain.layout.maxVcpus }, (_, i) => i).filter((i) => i !== vcpu);
  }

  now(): number {
    return this.#times.now();
  }

  setRoot(space: 0 | 1, mfn: Mfn): void {
    this.#processor.setRoot(space, mfn, this.changes);
    this.#times.flushed(this.#vcpu, space);
  }

  flushLocal(): void {
    this.#processor.refreshTlb(this.changes);
    this.#times.flushed(this.#vcpu, 0);
    this.#times.flushed(this.#vcpu, 1);
  }

  flushPageLocal(va: Vaddr): void {
    this.#processor.flushPage(va);
  }

  filteredFlush(time: number): void {
    if (this.#times.mayHold(this.#vcpu, 0, time) || this.#times.mayHold(this.#vcpu, 1, time)) this.flushLocal();
    for (const vcpu of this.#others) {
      if (this.#times.mayHold(vcpu, 0, time) || this.#times.mayHold(vcpu, 1, time)) this.#ask(vcpu);
    }
  }

  flushAll(): void {
    this.flushLocal();
    for (const vcpu of this.#others) this.#ask(vcpu);
  }

  /** Flushes the vCPUs whose bits are set; `va` is the page, or undefined for everything. */
  flushMask(lo: number, hi: number, base: number, va: Vaddr | undefined): void {
    for (let bit = 0; bit < 64; bit++) {
      if ((((bit < 32 ? lo : hi) >>> (bit & 31)) & 1) === 0) continue;
      const vcpu = base + bit;
      if (vcpu >= this.#domain.layout.maxVcpus) return;
      if (vcpu !== this.#vcpu) this.#ask(vcpu);
      else if (va === undefined) this.flushLocal();
      else this.flushPageLocal(va);
    }
  }

  flushPageAll(va: Vaddr): void {
    this.flushPageLocal(va);
    for (const vcpu of this.#others) this.#ask(vcpu);
  }

  dropCode(mfn: Mfn): void {
    this.#processor.frameWritten(mfn, 0, 4096);
  }

  /** Answers meanwhile: whoever asks may be what this vCPU waits for. */
  pause(): void {
    const own = this.#flagOf(this.#vcpu);
    if (Atomics.compareExchange(this.#domain.i32, own, 1, 0) === 1) this.answer();
    else Atomics.wait(this.#domain.i32, own, 0, PAUSE_MS);
  }

  get unsettled(): boolean {
    return this.#asked.length > 0;
  }

  /** The vCPU's own TLB was asked for by another one: empties it and lets the other one know. */
  answer(): void {
    this.flushLocal();
    Atomics.notify(this.#domain.i32, this.#flagOf(this.#vcpu));
  }

  /** Waits for the other vCPUs, while answering them. Without the domain's lock. */
  settle(): void {
    if (this.#asked.length === 0) return;
    const { i32 } = this.#domain;
    const own = this.#flagOf(this.#vcpu);
    for (const vcpu of this.#asked) {
      const flag = this.#flagOf(vcpu);
      const running = (this.#domain.vcpuAt(vcpu) + VcpuState.at.running) >>> 2;
      for (let spins = 0; Atomics.load(i32, flag) !== 0 && Atomics.load(i32, running) !== 0 && !this.#over; spins++) {
        if (Atomics.compareExchange(i32, own, 1, 0) === 1) this.answer();
        else if (spins > 1000) Atomics.wait(i32, flag, 1, 1);
      }
    }
    this.#asked.length = 0;
  }

  /** A thread that failed answers no more, and its domain is shut down for it. */
  get #over(): boolean {
    return this.#domain.dying || this.#domain.shutdownCode !== undefined;
  }

  #ask(vcpu: number): void {
    this.#times.request(vcpu);
    if (!this.#asked.includes(vcpu)) this.#asked.push(vcpu);
  }

  #flagOf(vcpu: number): number {
    return (this.#domain.vcpuAt(vcpu) + VcpuState.at.tlbFlush) >>> 2;
  }
}
