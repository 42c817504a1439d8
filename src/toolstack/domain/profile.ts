/**
 * A profile of a domain over some time: what its vCPUs count, and the functions of its kernel that their samples lie in. The samples come from the guest's
 * RIP and the names from its memory, so neither is trusted.
 */
import type { DomainControl, ProfileSample, VcpuProfile } from '../../hypervisor/control.ts';

export interface DomainProfile {
  readonly vcpus: number;
  /** Guest instructions. */
  readonly instructions: number;
  /** Of all vCPUs together. */
  readonly runningSeconds: number;
  /** Of these, in the hypervisor on account of exits; an estimate. */
  readonly hypervisorSeconds: number;
  /** By the name of the exit. */
  readonly exits: Readonly<Record<string, number>>;
  /** Regions that can run now, that wait for the compiler now, and that were compiled and given up meanwhile. */
  readonly translator: TranslatorState;
  /** Instructions for each sample. */
  readonly sampleInterval: number;
  readonly samples: number;
  /** Those that nobody had looked at before the vCPU needed their place. */
  readonly lostSamples: number;
  /** Of the samples, those in translated code, and those in user mode. */
  readonly translatedSamples: number;
  readonly userSamples: number;
  /** Whether a kernel address has had a name. */
  readonly symbols: boolean;
  /** Most samples first. */
  readonly functions: readonly ProfiledFunction[];
}

export interface TranslatorState {
  readonly regions: number;
  readonly waiting: number;
  readonly compiled: number;
  readonly dropped: number;
}

export interface ProfiledFunction {
  /** `other`: what would have made the list too long. */
  readonly where: 'kernel' | 'user' | 'other';
  /** Of the kernel, when it has one here. */
  readonly name: string | null;
  /** In hexadecimal, for a place in the kernel without a name. */
  readonly address: string | null;
  readonly samples: number;
  readonly translatedSamples: number;
}

/** Until then a vCPU has hardly filled the ring of its samples, however fast it is. */
export const POLL_MS = 100;

/** Functions that are told apart. A kernel has some 50,000, and a hostile guest as many addresses as it likes. */
const MAX_FUNCTIONS = 1 << 16;
/** Samples without a name are taken together by so many bytes. */
const NAMELESS_BYTES = 256;
const MAX_NAME = 128;

interface Tally {
  readonly where: ProfiledFunction['where'];
  readonly name: string | null;
  readonly address: string | null;
  samples: number;
  translatedSamples: number;
}

export class ProfileSession {
  readonly #domain: DomainControl;
  readonly #first: readonly VcpuProfile[];
  #last: readonly VcpuProfile[];
  readonly #tallies = new Map<string, Tally>();
  #samples = 0;
  #lost = 0;
  #symbols = false;

  /** From now on. */
  constructor(domain: DomainControl) {
    this.#domain = domain;
    // The names are looked for now: that takes so long that samples would be lost.
    domain.symbolize?.(-1);
    this.#first = readings(domain, []);
    this.#last = this.#first;
  }

  /** The domain has no vCPU that keeps a profile. */
  get isEmpty(): boolean {
    return this.#first.length === 0;
  }

  /** To be called about every POLL_MS, and at the end. */
  poll(): void {
    const now = readings(this.#domain, this.#last);
    now.forEach(({ sampled, samples }, vcpu) => {
      this.#lost += difference(sampled, this.#last[vcpu]?.sampled) - samples.length;
      for (const sample of samples) this.#take(sample);
    });
    this.#last = now;
  }

  /** Between the beginning and the last `poll`. */
  profile(top = Infinity): DomainProfile {
    const sum = (of: (vcpu: VcpuProfile) => number, count: 'modulo' | 'whole' = 'whole'): number =>
      this.#last.reduce((total, last, vcpu) => {
        const first = this.#first[vcpu];
        const before = first === undefined ? 0 : of(first);
        return total + (count === 'modulo' ? difference(of(last), before) : of(last) - before);
      }, 0);
    const now = (of: (vcpu: VcpuProfile) => number): number => this.#last.reduce((total, vcpu) => total + of(vcpu), 0);
    const exits = Object.keys(this.#last[0]?.exits ?? {}).map(
      (name) => [name, sum((vcpu) => vcpu.exits[name] ?? 0, 'modulo')] as const,
    );
    const functions = [...this.#tallies.values()].sort((a, b) => b.samples - a.samples);
    const count = (of: (tally: Tally) => number): number => functions.reduce((total, tally) => total + of(tally), 0);
    return {
      vcpus: this.#last.length,
      instructions: sum((vcpu) => vcpu.instructions),
      runningSeconds: sum((vcpu) => vcpu.runningNs) / 1e9,
      hypervisorSeconds: sum((vcpu) => vcpu.handlingNs) / 1e9,
      exits: Object.fromEntries(exits),
      translator: {
        regions: now((vcpu) => vcpu.regions),
        waiting: now((vcpu) => vcpu.waiting),
        compiled: sum((vcpu) => vcpu.compiled, 'modulo'),
        dropped: sum((vcpu) => vcpu.dropped, 'modulo'),
      },
      sampleInterval: this.#last[0]?.sampleInterval ?? 0,
      samples: this.#samples,
      lostSamples: this.#lost,
      translatedSamples: count((tally) => tally.translatedSamples),
      userSamples: count((tally) => (tally.where === 'user' ? tally.samples : 0)),
      symbols: this.#symbols,
      functions: functions.slice(0, top).map((tally) => ({ ...tally })),
    };
  }

  #take(sample: ProfileSample): void {
    const tally = this.#tallyOf(sample);
    this.#samples++;
    tally.samples++;
    if (sample.translated) tally.translatedSamples++;
  }

  #tallyOf({ rip, user }: ProfileSample): Tally {
    if (user) return this.#tally('user', () => ({ where: 'user', name: null, address: null }));
    const found = this.#domain.symbolize?.(rip);
    if (found !== undefined) {
      this.#symbols = true;
      const name = printable(found.name);
      return this.#tally(`kernel ${name}`, () => ({ where: 'kernel', name, address: null }));
    }
    const address = rip - (((rip % NAMELESS_BYTES) + NAMELESS_BYTES) % NAMELESS_BYTES);
    return this.#tally(`at ${address}`, () => ({ where: 'kernel', name: null, address: hex(address) }));
  }

  #tally(key: string, create: () => Omit<Tally, 'samples' | 'translatedSamples'>): Tally {
    const known = this.#tallies.get(key);
    if (known !== undefined) return known;
    if (this.#tallies.size >= MAX_FUNCTIONS && key !== 'other')
      return this.#tally('other', () => ({ where: 'other', name: null, address: null }));
    const tally = { ...create(), samples: 0, translatedSamples: 0 };
    this.#tallies.set(key, tally);
    return tally;
  }
}

function readings(domain: DomainControl, last: readonly VcpuProfile[]): readonly VcpuProfile[] {
  const all: VcpuProfile[] = [];
  for (let vcpu = 0; vcpu <= domain.info().maxVcpuId; vcpu++) {
    const reading = domain.profile(vcpu, last[vcpu]?.sampled);
    if (reading !== undefined) all.push(reading);
  }
  return all;
}

/** Of counts modulo 2^32. */
function difference(to: number, from = 0): number {
  return (to - from) >>> 0;
}

/** What a guest calls its functions goes to somebody's terminal. */
function printable(name: string): string {
  return name.slice(0, MAX_NAME).replace(/[^\x21-\x7e]/g, '?');
}

function hex(address: number): string {
  return `0x${BigInt.asUintN(64, BigInt(Math.trunc(address)))
    .toString(16)
    .padStart(16, '0')}`;
}
