/**
 * A PV domain whose kernel and programs do whatever a seed says, on the steppable host, beside a second domain that does
 * nothing and must not notice. `hostile-actions.ts` has what it does; here is what it does it with, and what must hold.
 */
import assert from 'node:assert/strict';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { hiOf, loOf } from '../../abi/numbers.ts';
import { Random } from '../../cpu/oracle/random.ts';
import type { DomainControl, LocalPort } from '../control.ts';
import type { Domain } from '../domain.ts';
import { type HypercallTable } from '../hypercall.ts';
import { createHypercallTable } from '../hypercalls/index.ts';
import { Gpr } from '../processor.ts';
import { PvGuest, frames, stackTop, va } from '../pv/testing/pv-guest.ts';
import { DomainState } from '../state.ts';
import type { SteppableHost } from './steppable-host.ts';
import type { Vcpu } from '../vcpu.ts';
import type { VcpuLoop } from '../vcpu-loop.ts';
import { type MappedGrant, wrongPageCounts } from './page-counts.ts';
import { wrongGrants, wrongPorts } from './port-check.ts';

/** Translations that one action may ask for: far above what the longest list takes, far below "for ever". */
const MOST_TRANSLATIONS = 500_000;
/** A backstop for work that translates nothing. */
const LONGEST_MS = 10_000;
const BYSTANDER_PAGES = 32;
const ARGUMENTS = [Gpr.rdi, Gpr.rsi, Gpr.rdx, Gpr.r10, Gpr.r8, Gpr.r9] as const;
const SYSCALL_LENGTH = 2;

/** A 64-bit argument: a number, or halves where every bit matters. */
export type Value = number | readonly [lo: number, hi: number];
export const lo = (value: Value): number => (typeof value === 'number' ? loOf(value) : value[0]);
export const hi = (value: Value): number => (typeof value === 'number' ? hiOf(value) : value[1]);

export class HostileGuest {
  readonly guest: PvGuest;
  readonly host: SteppableHost;
  readonly control: DomainControl;
  readonly loop: VcpuLoop;
  readonly vcpu: Vcpu;
  readonly domain: Domain;
  /** Domain 0's side of what the guest shares with it. */
  readonly ports: LocalPort[] = [];
  readonly grants: MappedGrant[] = [];
  translations = 0;
  readonly #table: HypercallTable;
  readonly #bystander: DomainControl;
  readonly #bystanderBefore: Uint8Array;
  readonly #totalPages: number;

  constructor() {
    this.guest = new PvGuest({ vcpus: 2, user: true }).ready();
    this.host = this.guest.host;
    this.control = this.guest.control;
    const loop = this.host.loop(this.control.domid, 0);
    if (loop === undefined) throw new Error('the vCPU was not started');
    this.loop = loop;
    this.vcpu = loop.vcpu;
    this.domain = loop.vcpu.domain;
    this.#table = createHypercallTable(this.vcpu.platform.hypercalls);
    assert.equal(this.guest.mmuext(MMUEXT.NEW_USER_BASEPTR, frames.userL4), 0);
    this.#bystander = this.host.hypervisor.createDomain({
      handle: new Uint8Array(16).fill(7),
      maxVcpus: 1,
      maxMemKiB: BYSTANDER_PAGES * 4,
    });
    this.#bystander.populate(BYSTANDER_PAGES);
    this.#bystander.allocUnbound(0);
    this.#bystanderBefore = this.#bystanderMemory();
    this.control.unpause();
    this.#totalPages = this.#pages();
    this.#countTranslations();
  }

  #countTranslations(): void {
    const { processor } = this.vcpu;
    const translate = processor.translate.bind(processor);
    processor.translate = (address, access) => {
      if (++this.translations > MOST_TRANSLATIONS) throw new Error(`more than ${MOST_TRANSLATIONS} translations`);
      return translate(address, access);
    };
  }

  // --- what the guest does ----------------------------------------------------------------------------------------

  /** A hypercall of the kernel, as the loop makes it: through the registers. */
  call(nr: Value, args: readonly Value[]): void {
    this.#toKernel();
    const { state } = this.vcpu.processor;
    state.setLoHi(Gpr.rax, lo(nr), hi(nr));
    ARGUMENTS.forEach((gpr, i) => state.setLoHi(gpr, lo(args[i] ?? 0), hi(args[i] ?? 0)));
    const at = va(frames.code);
    let rounds = 0;
    do {
      // As the loop does it, for a call that is to be continued as well.
      this.vcpu.takeExitRequest();
      state.rip = at + SYSCALL_LENGTH;
      this.#table.fromSyscall(this.vcpu);
    } while (state.rip === at && this.vcpu.kernelMode && !this.#over && ++rounds < 1000);
    this.host.hypervisor.deliverEvents();
  }

  get #over(): boolean {
    return this.domain.dying || this.domain.shutdownCode !== undefined;
  }

  /** Executes what is at the addresses in the registers; the guest's mode is as it is. */
  run(turns: number): void {
    for (let i = 0; i < turns && this.domain.shutdownCode === undefined; i++) {
      this.vcpu.store('blocked', 0);
      this.loop.turn();
      this.host.clock.advance(1000);
    }
  }

  /** User mode at `rip`, through the hypercall that leads there. */
  toUser(rip: number, rsp: number, rflags: number): void {
    this.#toKernel();
    const { state } = this.vcpu.processor;
    const flat = { cs: [0xe033, 0], ss: [0xe02b, 0] } as const;
    const at = stackTop - 0x48;
    const words: Value[] = [0, 0, 0, 0, rip, flat.cs, [rflags, 0], rsp, flat.ss];
    this.guest.words(
      frames.stack,
      4096 - 0x48,
      words.flatMap((word) => [lo(word), hi(word)]),
    );
    state.set(Gpr.rsp, at);
    this.call(23, []);
  }

  #toKernel(): void {
    const { state } = this.vcpu.processor;
    state.set(Gpr.rsp, stackTop);
    if (this.vcpu.kernelMode) return;
    this.vcpu.platform.onUserSyscall();
    assert.ok(this.vcpu.kernelMode, 'a system call leads into the kernel, or into a crash');
    this.revive();
    state.set(Gpr.rsp, stackTop);
  }

  // --- going on ---------------------------------------------------------------------------------------------------

  /** A crashed domain is dead; this one goes on, so that what a crash left behind is found too. */
  revive(): void {
    const { domain, vcpu } = this;
    if (domain.shutdownCode !== undefined) {
      assert.ok(domain.shutdownCode >= 0 && domain.shutdownCode <= 255);
      Atomics.store(domain.i32, (domain.at + DomainState.at.shutdownCode) >>> 2, -1);
    }
    while (domain.pauseCount > 0) domain.unpause();
    vcpu.store('blocked', 0);
    vcpu.store('pollPort', 0);
    vcpu.store('online', 1);
  }

  /** The guest can still pass arguments: its kernel's mappings of the frames used for them are there. */
  get alive(): boolean {
    const mapped = [frames.data, frames.stack, frames.code].every((frame) => {
      const at = this.vcpu.processor.translate(va(frame), frame === frames.code ? 'read' : 'write');
      return at === this.domain.frameAt(frame);
    });
    return mapped && this.domain.isRam(frames.data);
  }

  // --- what must hold ---------------------------------------------------------------------------------------------

  /** Does something, within bounds, and leaves no lock behind. */
  act(what: () => void): void {
    const start = performance.now();
    this.translations = 0;
    what();
    assert.equal(this.domain.i32[(this.domain.at + DomainState.at.lock) >>> 2], 0, 'the lock is held');
    assert.ok(performance.now() - start < LONGEST_MS, `took ${performance.now() - start} ms`);
    this.revive();
  }

  check(): void {
    assert.deepEqual(wrongPageCounts(this.domain, this.grants), []);
    assert.deepEqual(wrongPorts(this.domain), []);
    assert.deepEqual(wrongGrants(this.domain), []);
    assert.equal(this.#pages(), this.#totalPages, 'pages of the host');
  }

  checkBystander(): void {
    assert.ok(Buffer.compare(this.#bystanderMemory(), this.#bystanderBefore) === 0, 'the other domain changed');
  }

  #pages(): number {
    return this.host.state.freePages + this.domain.get('totPages') + this.#bystander.info().totPages;
  }

  /** The other domain's RAM and everything that the hypervisor keeps of it. */
  #bystanderMemory(): Uint8Array {
    const { dataView, base, count } = this.#bystander.frames;
    const memory = new Uint8Array(dataView.buffer);
    const { layout } = this.domain;
    return Buffer.concat([memory.slice(layout.domainAt, layout.pageInfoAt), memory.slice(base, base + count * 4096)]);
  }
}

/** Random numbers for one action. */
export const randomOf = (seed: number): Random => new Random(seed, 'hostile guest');
