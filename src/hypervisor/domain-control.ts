/** domctl: one domain as domain 0 sees it. Main thread only. */
import { Exit } from '../cpu/exits.ts';
import { readProfile, SAMPLE_INTERVAL } from '../cpu/profile.ts';
import { VcpuGuestContext } from '../abi/arch-x86.ts';
import { Errno } from '../abi/errno.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import type {
  CreateDomain,
  DomainControl,
  DomainInfo,
  DomainScheduling,
  GrantBatch,
  GrantCopy,
  GrantMapping,
  GuestFrames,
  ShutdownReason,
  Symbolizer,
  VcpuContext,
  VcpuExtended,
  VcpuInfo,
  VcpuProfile,
} from './control.ts';
import { HypercallError, shutdownReasons } from './control.ts';
import { cpuRegionAt, vcpuBlock } from './domain-memory.ts';
import type { Domain } from './domain.ts';
import { allocUnbound } from './event-channel/lifecycle.ts';
import { DomainFrames } from './domain-frames.ts';
import { beginFrom, DomainTemplateOf, frozenParts } from './domain-template.ts';
import { GrantMappings } from './grant-table/mappings.ts';
import { seed } from './grant-table/table.ts';
import type { HypervisorHost } from './hypervisor.ts';
import { hypercallPage } from './hypercall-page.ts';
import { populateAt, populateInitial } from './reservation.ts';
import { Runstate, runstateOf } from './runstate.ts';
import { DomainState, VcpuState } from './state.ts';
import { TSC_KHZ } from './time.ts';
import { writeContext } from './vcpu-context.ts';

const PAGES_PER_KIB = 1024 / PAGE_SIZE;
/** A vCPU leaves the guest within a millisecond of its thread's own time, which on a busy machine may take seconds to come. */
const PATIENCE_MS = 15_000;
/** The thread of one that a bug of ours has crashed may have ended, and never does; the toolstack goes on. */
const PATIENCE_WITH_CRASHED_MS = 1000;

export class DomainControlOf implements DomainControl {
  readonly domid: number;
  readonly frames: GuestFrames;
  readonly sharedInfoMfn: number;
  readonly domain: Domain;
  readonly #host: HypervisorHost;
  readonly #grants: GrantMappings;
  symbolize: Symbolizer | undefined;
  #destroyed: Promise<void> | undefined;

  constructor(domain: Domain, host: HypervisorHost, config: CreateDomain) {
    this.domid = domain.domid;
    this.domain = domain;
    this.frames = new DomainFrames(domain);
    this.sharedInfoMfn = domain.layout.sharedInfoMfn;
    this.#host = host;
    this.#grants = new GrantMappings(domain, host.kind);
    this.setHandle(config.handle);
  }

  info(): DomainInfo {
    const { domain } = this;
    const { maxVcpus } = domain.layout;
    let online = 0;
    let blocked = true;
    let running = false;
    let cpuTimeNs = 0;
    for (let vcpu = 0; vcpu < maxVcpus; vcpu++) {
      const info = this.#vcpu(vcpu);
      cpuTimeNs += info.cpuTimeNs;
      if (!info.online) continue;
      online++;
      if (!info.blocked) blocked = false;
      if (info.running) running = true;
    }
    const code = domain.shutdownCode;
    return {
      domid: this.domid,
      handle: domain.u8.slice(domain.at + DomainState.at.handle, domain.at + DomainState.at.handle + 16),
      dying: domain.dying,
      shutdown: code !== undefined,
      paused: domain.pauseCount > 0,
      blocked,
      running,
      ...(code === undefined ? {} : { shutdownReason: code }),
      totPages: domain.get('totPages'),
      maxPages: domain.get('maxPages'),
      sharedInfoMfn: this.sharedInfoMfn,
      cpuTimeNs,
      nrOnlineVcpus: online,
      maxVcpuId: maxVcpus - 1,
    };
  }

  vcpuInfo(vcpu: number): VcpuInfo | undefined {
    if (!this.domain.hasVcpu(vcpu)) return undefined;
    const info = this.#vcpu(vcpu);
    return { ...info, cpu: this.#host.runner.cpuOf?.(this.domain, vcpu) ?? info.cpu };
  }

  #vcpu(vcpu: number): VcpuInfo {
    const { domain } = this;
    const at = domain.vcpuAt(vcpu);
    const { state, times } = runstateOf(domain.u32, domain.f64, at, this.#host.clock.now());
    const online = Atomics.load(domain.i32, (at + VcpuState.at.online) >>> 2) !== 0;
    return {
      vcpu,
      online,
      blocked: online && state === Runstate.blocked,
      running: online && state === Runstate.running,
      cpuTimeNs: Math.round(this.#host.runner.ranNs?.(domain, vcpu) ?? times[Runstate.running] ?? 0),
      instructions: domain.f64[(cpuRegionAt(domain.layout, vcpu) + domain.layout.processor.retired) >>> 3] ?? 0,
      cpu: vcpu % this.#host.nrCpus,
    };
  }

  populate(nrPages: number): void {
    this.#check(populateInitial(this.domain, this.#host.kind, this.#host.state, nrPages), `populate ${nrPages} pages`);
    // From here on nothing is expected to fail, and the kernel has yet to be copied: the thread finds the domain paused.
    this.#host.prepareVcpu(this.domain, 0);
    this.#host.kind.populated(this.domain);
  }

  setMaxMem(kib: number): void {
    const pages = Math.floor(kib * PAGES_PER_KIB);
    if (!(pages >= 0) || pages > this.domain.layout.maxPages) throw this.#error(Errno.EINVAL, `max_mem ${kib} KiB`);
    this.domain.set('maxPages', pages);
  }

  setHandle(handle: Uint8Array): void {
    DomainState.write(this.domain.view, this.domain.at, { handle });
  }

  hypercallInit(mfn: number): void {
    if (!this.domain.isRam(mfn)) throw this.#error(Errno.EACCES, `hypercall page in frame ${mfn}`);
    this.domain.frame(mfn).set(hypercallPage());
    this.frames.wrote(mfn, 0, PAGE_SIZE);
  }

  allocUnbound(remoteDomid: number): number {
    return this.#check(allocUnbound(this.domain, remoteDomid), 'alloc_unbound');
  }

  seedGrant(ref: number, mfn: number): void {
    if (!this.domain.isRam(mfn)) throw this.#error(Errno.EINVAL, `grant ${ref} of frame ${mfn}`);
    this.domain.locked(() => seed(this.domain, ref, mfn));
  }

  grantMap(ref: number, options: { readonly readonly: boolean }): GrantMapping | number {
    return this.#grants.map(ref, options.readonly);
  }

  grantMapBatch(refs: readonly number[], options: { readonly readonly: boolean }): GrantBatch {
    return this.#grants.mapBatch(refs, options.readonly);
  }

  grantCopy(copies: readonly GrantCopy[]): Int32Array {
    return this.#grants.copy(copies);
  }

  populatePhysmap(pfns: readonly number[]): void {
    const { domain } = this;
    const { kind, state } = this.#host;
    const first = domain.get('totPages') === 0;
    this.#check(populateAt(domain, kind, state, pfns), `populate ${pfns.length} pages`);
    if (!first) return;
    this.#host.prepareVcpu(domain, 0);
    kind.populated(domain);
  }

  pinTable(mfn: number, level: number): void {
    this.#check(this.#host.kind.pinTable(this.domain, mfn, level), `pin L${level} table in frame ${mfn}`);
  }

  frameType(mfn: number): { readonly level: number; readonly pinned: boolean } {
    return this.#host.kind.frameType(this.domain, mfn);
  }

  vcpuExtended(vcpu: number): VcpuExtended {
    if (!this.domain.hasVcpu(vcpu)) throw this.#error(Errno.EINVAL, `extended context of vcpu ${vcpu}`);
    return this.#host.kind.extended(this.domain, vcpu);
  }

  restoreVcpu(vcpu: number, context: Uint8Array, extended: VcpuExtended): void {
    const { domain } = this;
    const { kind } = this.#host;
    if (!domain.hasVcpu(vcpu) || context.length !== VcpuGuestContext.size)
      throw this.#error(Errno.EINVAL, `context of vcpu ${vcpu}`);
    domain.u8.set(context, domain.vcpuAt(vcpu) + vcpuBlock.context);
    kind.setExtended(domain, vcpu, extended);
    this.#start(vcpu);
  }

  tscInfo(): ReturnType<DomainControl['tscInfo']> {
    return { mode: 0, khz: TSC_KHZ, nsec: Math.floor(this.#host.clock.now()), incarnation: 0 };
  }

  cpuid(leaf: number, subleaf: number): ReturnType<DomainControl['cpuid']> {
    return this.#host.kind.cpuid(this.domain, leaf, subleaf);
  }

  setVcpuContext(vcpu: number, context: VcpuContext): void {
    const { domain } = this;
    if (!domain.hasVcpu(vcpu)) throw this.#error(Errno.EINVAL, `context of vcpu ${vcpu}`);
    writeContext(domain, domain.vcpuAt(vcpu) + vcpuBlock.context, context);
    this.#start(vcpu);
  }

  /** With the context in its block. */
  #start(vcpu: number): void {
    const { domain } = this;
    this.#check(
      domain.locked(() => this.#host.kind.checkContext(domain, domain.vcpuAt(vcpu) + vcpuBlock.context)),
      `context of vcpu ${vcpu}`,
    );
    this.#goOn(vcpu);
  }

  /** The vCPU is online, at the context in its block. */
  #goOn(vcpu: number): void {
    const { domain } = this;
    const at = domain.vcpuAt(vcpu);
    for (const word of ['initialised', 'contextPending', 'online'] as const)
      Atomics.store(domain.i32, (at + VcpuState.at[word]) >>> 2, 1);
  }

  setScheduling(scheduling: DomainScheduling): void {
    this.#host.runner.schedule?.(this.domain, scheduling);
  }

  getVcpuContext(vcpu: number): Uint8Array | undefined {
    const { domain } = this;
    if (!domain.hasVcpu(vcpu)) return undefined;
    const base = domain.vcpuAt(vcpu);
    const word = (name: 'initialised' | 'contextWanted'): number => (base + VcpuState.at[name]) >>> 2;
    if (Atomics.load(domain.i32, word('initialised')) === 0) return undefined;
    this.pause();
    try {
      // Flags and more are known to the vCPU's thread only, which has ended where a fault of ours ended it.
      Atomics.store(domain.i32, word('contextWanted'), 1);
      domain.kick(vcpu);
      if (Atomics.wait(domain.i32, word('contextWanted'), 1, this.#patience) === 'timed-out') return undefined;
      const at = base + vcpuBlock.context;
      return domain.u8.slice(at, at + VcpuGuestContext.size);
    } finally {
      this.unpause();
    }
  }

  pfnOf(mfn: number): number | undefined {
    return this.domain.isRam(mfn) ? this.#host.kind.pfnOf(this.domain, mfn) : undefined;
  }

  sendNmi(vcpu: number): void {
    const { domain } = this;
    if (!domain.hasVcpu(vcpu)) throw this.#error(Errno.ESRCH, `NMI for vcpu ${vcpu}`);
    Atomics.store(domain.i32, (domain.vcpuAt(vcpu) + VcpuState.at.nmiPending) >>> 2, 1);
    domain.unblock(vcpu);
  }

  setSymbols(symbolize: Symbolizer): void {
    this.symbolize = symbolize;
  }

  profile(vcpu: number, since?: number): VcpuProfile | undefined {
    const { domain } = this;
    const { profile } = domain.layout.processor;
    if (!domain.hasVcpu(vcpu) || profile === undefined) return undefined;
    const read = readProfile(domain.memory.buffer, cpuRegionAt(domain.layout, vcpu) + profile, since);
    const { instructions, cpuTimeNs } = this.#vcpu(vcpu);
    const exits = Object.entries(Exit).map(([name, exit]) => [name, read.exits[exit] ?? 0]);
    return {
      instructions,
      runningNs: cpuTimeNs,
      handlingNs: domain.f64[(domain.vcpuAt(vcpu) + VcpuState.at.handlingNs) >>> 3] ?? 0,
      exits: Object.fromEntries(exits) as Record<string, number>,
      regions: read.regions,
      waiting: read.waiting,
      compiled: read.compiled,
      dropped: read.dropped,
      sampled: read.taken,
      sampleInterval: SAMPLE_INTERVAL,
      samples: read.samples,
    };
  }

  get #patience(): number {
    return this.domain.shutdownCode === shutdownReasons.crash ? PATIENCE_WITH_CRASHED_MS : PATIENCE_MS;
  }

  /** On return no vCPU of the domain executes guest code. */
  pause(): void {
    const { domain } = this;
    domain.pause();
    let patience = this.#patience;
    for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
      const running = (domain.vcpuAt(vcpu) + VcpuState.at.running) >>> 2;
      for (; patience > 0 && Atomics.load(domain.i32, running) !== 0; patience--)
        Atomics.wait(domain.i32, running, 1, 1);
    }
  }

  unpause(): void {
    if (!this.domain.unpause()) throw this.#error(Errno.EINVAL, 'unpause');
    for (let vcpu = 0; vcpu < this.domain.layout.maxVcpus; vcpu++) {
      if (Atomics.load(this.domain.i32, (this.domain.vcpuAt(vcpu) + VcpuState.at.online) >>> 2) !== 0)
        this.#host.startVcpu(this.domain, vcpu);
    }
  }

  shutdown(reason: ShutdownReason): void {
    if (this.domain.shutDown(shutdownReasons[reason])) this.#host.domainException(this.domid);
  }

  resume(): void {
    const { domain } = this;
    if (!domain.resume(shutdownReasons.suspend)) throw this.#error(Errno.EINVAL, 'resume');
    for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) domain.kick(vcpu);
  }

  async prepareFreeze(): Promise<void> {
    const { domain } = this;
    if (domain.dying) throw this.#error(Errno.EINVAL, 'freeze');
    // Whoever unpauses it meanwhile has it run afterwards; whoever does so once more, at once.
    this.pause();
    const isWanted = (): boolean => !domain.dying && (domain.pauseCount > 0 || domain.shutdownCode !== undefined);
    try {
      await this.#host.memories.prepareFreeze(domain.memory, frozenParts(domain.layout), isWanted);
    } finally {
      // One that stays paused gets no threads by this.
      if (!domain.dying && domain.pauseCount > 1) domain.unpause();
      else if (!domain.dying && domain.pauseCount > 0) this.unpause();
    }
  }

  freeze(): DomainTemplateOf {
    const { domain } = this;
    const { layout } = domain;
    const refused = this.#error(Errno.EINVAL, 'freeze');
    if (domain.dying) throw refused;
    const isSuspended = domain.shutdownCode === shutdownReasons.suspend;
    for (let vcpu = 0; vcpu < layout.maxVcpus; vcpu++) {
      const word = (name: 'online' | 'contextPending'): number =>
        Atomics.load(domain.i32, (domain.vcpuAt(vcpu) + VcpuState.at[name]) >>> 2);
      // One that has not begun yet has its context where a clone finds it, and so has one that was asked for it.
      if (word('online') === 0 || (domain.pauseCount > 0 && word('contextPending') !== 0)) continue;
      if (!isSuspended || this.getVcpuContext(vcpu) === undefined) throw refused;
    }
    this.#host.runner.expect?.(layout.maxVcpus);
    return new DomainTemplateOf(
      layout,
      this.#host.memories.freeze(domain.memory, frozenParts(layout)),
      this.#grants.held,
    );
  }

  /** The domain's memory has just been filled. */
  begin(template: DomainTemplateOf, runsSoon = false): void {
    const { domain } = this;
    for (const vcpu of beginFrom(template, domain, this.#host.kind, this.#host.clock)) {
      this.#goOn(vcpu);
      if (runsSoon) this.#host.prepareVcpu(domain, vcpu);
    }
    this.#host.runner.expect?.(domain.layout.maxVcpus * 2);
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#kill();
    return this.#destroyed;
  }

  async #kill(): Promise<void> {
    this.domain.die();
    await this.#host.stopVcpus(this.domain);
    this.#host.state.releasePages(this.domain.get('totPages') - this.domain.get('sharedPages'));
    this.domain.set('totPages', 0);
    this.domain.set('sharedPages', 0);
    this.#host.forget(this.domid);
    // Who still has this object may ask for what stands before it.
    const { vcpusAt, framesAt, totalFrames } = this.domain.layout;
    this.#host.memories.release(this.domain.memory, { at: vcpusAt, end: framesAt + totalFrames * PAGE_SIZE });
  }

  #error(errno: Errno, what: string): HypercallError {
    return new HypercallError(errno, `domain ${this.domid}: ${what}`);
  }

  #check(result: number, what: string): number {
    if (result < 0) throw this.#error(result as Errno, what);
    return result;
  }
}
