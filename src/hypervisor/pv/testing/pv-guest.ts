/**
 * A small PV domain on the real processor: 64 pages of RAM, each mapped at `va(frame)`, page tables in frames 1 to 4.
 * Tests put code into frames and run it, or call hypercalls as the vCPU would.
 */
import { PTE } from '../../../abi/arch-x86/page-table.ts';
import { hiOf, loOf } from '../../../abi/numbers.ts';
import type { ValueOf } from '../../../abi/struct.ts';
import { IretContext } from '../../../abi/arch-x86/xen-x86_64.ts';
import { type Engine, Processor, S, cpuFeatures, cpuRegionSize, processorModule } from '../../../cpu/index.ts';
import { Region } from '../../../cpu/state-layout.ts';
import type { DomainControl } from '../../control.ts';
import { cpuRegionAt } from '../../domain-memory.ts';
import { siblingsOf } from '../../code-coherence.ts';
import type { Domain } from '../../domain.ts';
import { HypercallArguments } from '../../hypercall.ts';
import { type ManualClock, SteppableHost } from '../../testing/steppable-host.ts';
import type { Vcpu } from '../../vcpu.ts';
import { createPvPlatform } from '../platform.ts';
import { PageTypes } from '../page-type.ts';
import { PvState } from '../pv-state.ts';
import { hypercall } from './code.ts';

export const frames = {
  l4: 1,
  l3: 2,
  l2: 3,
  l1: 4,
  userL4: 5,
  stack: 8,
  userStack: 9,
  code: 16,
  handler: 17,
  userCode: 18,
  data: 20,
  spare: 24,
} as const;
export const RAM = 64;
const BASE = 0x400000;
/** Guest address of a frame; `L1 slot` n maps frame n. */
export const va = (frame: number): number => BASE + frame * 4096;
export const stackTop = va(frames.stack) + 4096;
export const userStackTop = va(frames.userStack) + 4096;
const TABLE = PTE.P | PTE.RW | PTE.US | PTE.A | PTE.D;

export interface GuestOptions {
  readonly vcpus?: number;
  /** User mode has the same mappings, through an L4 of its own. */
  readonly user?: boolean;
  /** Frequent transitions in generated code, as they are unless this says false. */
  readonly transitions?: boolean;
  readonly nsPerTurn?: number;
  readonly clock?: ManualClock;
  readonly onPrepareFreeze?: () => Promise<void>;
  readonly engine?: Engine;
}

export class PvGuest {
  readonly host: SteppableHost;
  readonly control: DomainControl;
  readonly options: GuestOptions;

  constructor(options: GuestOptions = {}) {
    this.options = options;
    this.host = new SteppableHost({
      kind: createPvPlatform({
        features: cpuFeatures,
        xenVersion: 0x40011,
        ...(options.transitions === undefined ? {} : { transitions: options.transitions }),
      }),
      ...(options.nsPerTurn === undefined ? {} : { nsPerTurn: options.nsPerTurn }),
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      ...(options.onPrepareFreeze === undefined ? {} : { onPrepareFreeze: options.onPrepareFreeze }),
      processor: {
        regionSize: cpuRegionSize,
        exitRequest: S.exitRequest,
        codeMask: Region.codeMaskAt,
        decoded: [Region.keptAt, Region.opsEnd],
        retired: S.retired,
        profile: Region.profileAt,
      },
      createProcessor: (domain, vcpu, clock) =>
        new Processor({
          memory: domain.memory,
          module: processorModule(),
          regionAt: cpuRegionAt(domain.layout, vcpu),
          framesAt: domain.layout.framesAt,
          frameCount: domain.layout.totalFrames,
          adopts: true,
          now: () => clock.now(),
          random: () => 0x5eed,
          siblings: siblingsOf(domain, vcpu),
          ...(options.engine === undefined ? {} : { engine: options.engine }),
        }),
    });
    this.control = this.host.hypervisor.createDomain({
      handle: new Uint8Array(16),
      maxVcpus: options.vcpus ?? 1,
      maxMemKiB: RAM * 4,
    });
    this.control.populate(RAM);
    this.#entry(frames.l4, 0, frames.l3, TABLE);
    this.#entry(frames.l3, 0, frames.l2, TABLE);
    this.#entry(frames.l2, 2, frames.l1, TABLE);
    if (options.user) this.#entry(frames.userL4, 0, frames.l3, TABLE);
    for (let frame = 0; frame < RAM; frame++) {
      const readOnly = frame >= frames.l4 && frame <= frames.userL4;
      // The kernel's own mappings have no US, as the builder's have none; what user mode uses has it.
      const user = frame === frames.userCode || frame === frames.userStack ? PTE.US : 0;
      this.#entry(frames.l1, frame, frame, PTE.P | PTE.A | user | (readOnly ? 0 : PTE.RW));
    }
  }

  /** Makes vCPU 0 ready to run from `code` in kernel mode; nothing runs yet. */
  start(code: Uint8Array = hlt): this {
    this.write(frames.code, 0, code);
    this.control.pinTable(frames.l4, 4);
    this.control.setVcpuContext(0, { rip: va(frames.code), rsp: stackTop, rsi: 0, cr3Mfn: frames.l4 });
    this.control.unpause();
    return this;
  }

  /** Runs until the domain shuts down. */
  run(code: Uint8Array): this {
    this.start(code);
    this.host.run(() => this.control.info().shutdown);
    return this;
  }

  /** Loads the context without running anything, for tests that call hypercalls from here. */
  ready(): this {
    this.start();
    this.vcpu.platform.loadContext(this.vcpu.contextAt);
    this.vcpu.store('contextPending', 0);
    this.control.pause();
    return this;
  }

  /** A hypercall of vCPU 0, with numbers as arguments; structures are written to the data frame before. */
  call(nr: number, ...values: readonly (number | readonly [lo: number, hi: number])[]): number {
    const row = this.vcpu.platform.hypercalls.find((r) => r.nr === nr);
    if (row?.run === undefined) throw new Error(`no hypercall ${nr}`);
    const args = new HypercallArguments();
    values.forEach((value, i) => {
      args.lo[i] = typeof value === 'number' ? loOf(value) : value[0];
      args.hi[i] = typeof value === 'number' ? hiOf(value) : value[1];
    });
    return row.run(this.vcpu, args);
  }

  /** mmuext_op with one operation. */
  mmuext(cmd: number, arg1 = 0, arg2 = 0): number {
    this.words(frames.data, 0, [cmd, 0, loOf(arg1), hiOf(arg1), loOf(arg2), hiOf(arg2)]);
    return this.call(26, va(frames.data), 1, 0, 0x7ff0);
  }

  /** mmu_update with these requests; `done` is at the end of the data frame. */
  mmuUpdate(...requests: readonly { readonly ptr: number; readonly lo: number; readonly hi?: number }[]): number {
    requests.forEach(({ ptr, lo, hi }, i) => this.words(frames.data, i * 16, [loOf(ptr), hiOf(ptr), lo, hi ?? 0]));
    return this.call(1, va(frames.data), requests.length, va(frames.data) + 0xff8, 0x7ff0);
  }

  get done(): number {
    return this.read32(frames.data, 0xff8);
  }

  /** Changes the L1 entry that maps `va(frame)`. */
  remap(frame: number, lo: number, hi = 0, flags = 0): number {
    return this.call(14, va(frame), [lo >>> 0, hi >>> 0], flags);
  }

  get vcpu(): Vcpu {
    const loop = this.host.loop(this.control.domid, 0);
    if (loop === undefined) throw new Error('the vCPU was not started');
    return loop.vcpu;
  }

  get domain(): Domain {
    return this.vcpu.domain;
  }

  get types(): PageTypes {
    return new PageTypes(this.domain);
  }

  get pvState(): PvState {
    return new PvState(this.domain, this.vcpu.pvAt);
  }

  get log(): string {
    return this.host.hypervisor.readConsole();
  }

  write(frame: number, offset: number, bytes: Uint8Array): void {
    this.control.frames.view(frame).set(bytes, offset);
    this.control.frames.wrote(frame, offset, bytes.length);
  }

  words(frame: number, offset: number, values: readonly number[]): void {
    values.forEach((value, i) =>
      this.control.frames.dataView.setUint32(this.#at(frame, offset + i * 4), value >>> 0, true),
    );
  }

  read32(frame: number, offset: number): number {
    return this.control.frames.dataView.getUint32(this.#at(frame, offset), true);
  }

  /** A 64-bit word as 16 hex digits. */
  read64(frame: number, offset: number): string {
    return this.control.frames.dataView.getBigUint64(this.#at(frame, offset), true).toString(16).padStart(16, '0');
  }

  /** An entry of the L1 table, as 16 hex digits. */
  l1Entry(frame: number): string {
    return this.read64(frames.l1, frame * 8);
  }

  iretFrame(offset: number, values: Partial<ValueOf<typeof IretContext>>): void {
    IretContext.write(this.control.frames.dataView, this.#at(frames.stack, offset), values);
  }

  #entry(table: number, slot: number, target: number, flags: number): void {
    this.words(table, slot * 8, [target * 4096 + flags, 0]);
  }

  #at(frame: number, offset: number): number {
    return this.control.frames.base + frame * 4096 + offset;
  }
}

const hlt = Uint8Array.of(0xf4);

/** Ends a test's guest: SCHEDOP_shutdown(poweroff) with its argument at the end of the data frame. */
export const powerOff = hypercall(29, 2, va(frames.data) + 0xfe0);
