/**
 * A host for tests: one thread, a clock that moves only when told or when nobody has anything to do, and a scheduler
 * that picks who goes next from a seed. The same seed gives the same run; different seeds give different orders.
 */
import type { SystemTime } from '../../abi/numbers.ts';
import { createVcpuLoop } from '../create-vcpu.ts';
import { Domain, vcpuThread } from '../domain.ts';
import type { Clock, DomainMemories, Glue } from '../host-services.ts';
import { createMemory } from '../domain-memory.ts';
import { HostState } from '../host-state.ts';
import { Hypervisor } from '../hypervisor.ts';
import type { VcpuRunner } from '../hypervisor.ts';
import { isLogged } from '../log-ring.ts';
import type { PlatformKind } from '../platform.ts';
import type { Processor, ProcessorShape } from '../processor.ts';
import { VcpuState } from '../state.ts';
import type { VcpuLoop } from '../vcpu-loop.ts';

export class ManualClock implements Clock {
  readonly bootTime: { readonly seconds: number; readonly nanoseconds: number };
  #now: SystemTime = 0;

  constructor(bootTime = { seconds: 1_000_000_000, nanoseconds: 0 }) {
    this.bootTime = bootTime;
  }

  now(): SystemTime {
    return this.#now;
  }

  advance(ns: number): void {
    this.#now += ns;
  }

  advanceTo(time: SystemTime): void {
    this.#now = Math.max(this.#now, time);
  }
}

export interface SteppableOptions {
  readonly kind: PlatformKind;
  readonly processor: ProcessorShape;
  readonly createProcessor: (domain: Domain, vcpu: number, clock: Clock) => Processor;
  readonly seed?: number;
  readonly totalPages?: number;
  readonly nrCpus?: number;
  readonly commandLine?: string;
  readonly clock?: ManualClock;
  /** Happens while a domain is prepared for being frozen. */
  readonly onPrepareFreeze?: () => Promise<void>;
  /** How long a turn of a vCPU takes. */
  readonly nsPerTurn?: number;
}

interface Actor {
  readonly domain: Domain;
  readonly loop: VcpuLoop;
  /** Wake word at the time the actor came to rest; undefined while it has something to do. */
  restedAt: number | undefined;
}

const DEFAULT_PAGES = 65536;
const TURN_NS = 1000;

/** Templates by copying all of their bytes. */
const copyParts: DomainMemories['freeze'] = (memory, parts) => {
  const copies = parts.map(({ at, end }) => ({ at, bytes: new Uint8Array(memory.buffer).slice(at, end) }));
  return {
    create() {
      const pages = memory.buffer.byteLength / 65536;
      const other = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      for (const { at, bytes } of copies) new Uint8Array(other.buffer).set(bytes, at);
      return other;
    },
    close: () => undefined,
  };
};

export class SteppableHost {
  readonly hypervisor: Hypervisor;
  readonly clock: ManualClock;
  readonly state = new HostState();
  readonly #options: SteppableOptions;
  readonly #actors = new Map<string, Actor>();
  #random: number;
  #delivered = 0;

  constructor(options: SteppableOptions) {
    this.#options = options;
    this.#random = options.seed ?? 1;
    this.clock = options.clock ?? new ManualClock();
    const runner: VcpuRunner = {
      start: (domain, vcpu) => this.#start(domain, vcpu),
      stop: (domain) => {
        for (const [key, actor] of this.#actors) if (actor.domain.domid === domain.domid) this.#actors.delete(key);
        return Promise.resolve();
      },
    };
    this.hypervisor = new Hypervisor({
      clock: this.clock,
      kind: options.kind,
      processor: options.processor,
      state: this.state,
      runner,
      memories: {
        create: createMemory,
        prepareFreeze: () => options.onPrepareFreeze?.() ?? Promise.resolve(),
        freeze: copyParts,
        release: () => undefined,
      },
      totalPages: options.totalPages ?? DEFAULT_PAGES,
      nrCpus: options.nrCpus ?? 2,
      commandLine: options.commandLine ?? 'dom0_mem=16M loglvl=all guest_loglvl=all',
    });
  }

  #start(domain: Domain, vcpu: number): void {
    const key = `${domain.domid}:${vcpu}`;
    if (this.#actors.has(key)) return;
    // A view of its own, as a thread would have.
    const own = new Domain(domain.domid, domain.memory, domain.layout, vcpuThread(vcpu));
    const { hypervisor, state } = this;
    const glue: Glue = {
      log: (level, line) => hypervisor.log(level, line),
      wants: (level) => isLogged(state.thresholds, level),
      notifyDom0: (port) => state.raise(port),
      domainException: () => hypervisor.domainException(domain.domid),
      crashed: (dump) => hypervisor.domainCrashed(dump),
      vcpuUp: (id) => hypervisor.vcpuUp(domain.domid, id),
      claimPages: (count) => state.claimPages(count),
      releasePages: (count) => state.releasePages(count),
    };
    const processor = this.#options.createProcessor(own, vcpu, this.clock);
    const loop = createVcpuLoop({ domain: own, vcpu, processor, clock: this.clock, glue, kind: this.#options.kind });
    this.#actors.set(key, { domain: own, loop, restedAt: undefined });
  }

  /** The loop of a vCPU that was started, for a test to look into. */
  loop(domid: number, vcpu: number): VcpuLoop | undefined {
    return this.#actors.get(`${domid}:${vcpu}`)?.loop;
  }

  /** One turn of somebody; false when nobody has anything to do, now or later. */
  step(): boolean {
    const ready = [...this.#actors.values()].filter((actor) => this.#isReady(actor));
    const events = Atomics.load(this.state.words, this.state.wakeIndex) !== this.#delivered;
    const choices = ready.length + (events ? 1 : 0);
    if (choices === 0) return this.#sleep();
    const choice = this.#pick(choices);
    const actor = ready[choice];
    if (actor === undefined) this.#deliver();
    else this.#turn(actor);
    return true;
  }

  /** Steps until `done` or until nothing is left to do; throws when that takes too long. */
  run(done: () => boolean = () => false, maxSteps = 100_000): void {
    for (let i = 0; i < maxSteps; i++) if (done() || !this.step()) return;
    throw new Error(`steppable host: not done after ${maxSteps} steps`);
  }

  #isReady(actor: Actor): boolean {
    if (actor.restedAt === undefined) return true;
    return wakeWord(actor) !== actor.restedAt || this.#deadline(actor) <= this.clock.now();
  }

  /** A paused vCPU does not wake up for a timer of its own: only a kick changes what it does. */
  #deadline(actor: Actor): number {
    const { domain, loop } = actor;
    return domain.pauseCount > 0 || domain.shutdownCode !== undefined || loop.vcpu.load('online') === 0
      ? Infinity
      : loop.deadline;
  }

  #turn(actor: Actor): void {
    const seen = wakeWord(actor);
    const turn = actor.loop.turn();
    actor.restedAt = turn === 'ran' || turn === 'yielded' ? undefined : seen;
    this.clock.advance(this.#options.nsPerTurn ?? TURN_NS);
  }

  #deliver(): void {
    this.#delivered = Atomics.load(this.state.words, this.state.wakeIndex);
    this.hypervisor.deliverEvents();
  }

  #sleep(): boolean {
    const next = Math.min(Infinity, ...[...this.#actors.values()].map((actor) => this.#deadline(actor)));
    if (next === Infinity) return false;
    this.clock.advanceTo(next);
    return true;
  }

  /** A number below `count`: xorshift32. */
  #pick(count: number): number {
    let x = this.#random | 0 || 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return (x >>> 0) % count;
  }
}

function wakeWord(actor: Actor): number {
  return Atomics.load(actor.domain.i32, (actor.loop.vcpu.at + VcpuState.at.wake) >>> 2);
}
