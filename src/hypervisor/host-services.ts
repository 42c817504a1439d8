/**
 * What the hypervisor asks of the place it runs in. Every thread that runs hypervisor code has one of these; the
 * host with workers, the steppable host and the tests each bring their own.
 */
import type { HostAddress, SystemTime } from '../abi/numbers.ts';
import type { LogLevel } from './control.ts';
import type { CrashDump } from './crash-dump.ts';

/** Time is handed in, so that a test can step it. */
export interface Clock {
  /** Nanoseconds since Xen started; also the guests' TSC, whose frequency is 1 GHz by definition. */
  now(): SystemTime;
  /** CPU time that domain 0's side of the host has used, in nanoseconds; absent where nobody can tell. */
  cpuTime?(): number;
  /** Unix time at system time 0, in nanoseconds split at the second. */
  readonly bootTime: { readonly seconds: number; readonly nanoseconds: number };
}

/** Bytes of a memory from `at` up to `end`, whole pages of 4 KiB. */
export interface MemoryPart {
  readonly at: HostAddress;
  readonly end: HostAddress;
}

/** Parts of a memory as they were at one moment. */
export interface MemoryTemplate {
  /** Another memory of that size with these parts, and zeroes beside them. Throws where the host has no room. */
  create(): WebAssembly.Memory;
  /** There will be no more copies; those that there are stay. */
  close(): void;
}

/** Where domains' memories come from. Main thread. */
export interface DomainMemories {
  /** Of so many pages of WebAssembly. Throws where the host has no room. */
  create(wasmPages: number): WebAssembly.Memory;
  /**
   * Most of what `freeze` has to do, a little at a time, while no vCPU runs; what domain 0 writes meanwhile stays. Ends early when it is not wanted any more. Rejects with an
   * Error where the host has no room.
   */
  prepareFreeze(memory: WebAssembly.Memory, parts: readonly MemoryPart[], isWanted: () => boolean): Promise<void>;
  /** While nobody writes to the memory. Throws an Error where the host has no room. */
  freeze(memory: WebAssembly.Memory, parts: readonly MemoryPart[]): MemoryTemplate;
  /** Nobody needs what is in this part any more, nor will write to it; what is read there may be zero from now on. */
  release(memory: WebAssembly.Memory, part: MemoryPart): void;
}

/** The few things that leave a domain's memory. */
export interface Glue {
  /** One line for the log; guests' lines are limited in their rate. A line that begins with `(d1) ` keeps that prefix. */
  log(level: LogLevel, line: string): void;
  /** Would a line of this level be kept? */
  wants(level: LogLevel): boolean;
  /** An event for a port of domain 0. */
  notifyDom0(port: number): void;
  /** The domain's shutdown code was set: VIRQ_DOM_EXC for domain 0. */
  domainException(): void;
  crashed(dump: CrashDump): void;
  /** VCPUOP_up: the vCPU needs a thread, if it has none. */
  vcpuUp(vcpu: number): void;
  /** Pages for the reservation out of the host's free memory; false when there are not so many. */
  claimPages(count: number): boolean;
  releasePages(count: number): void;
}
