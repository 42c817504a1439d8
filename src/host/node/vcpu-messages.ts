/** What the main thread and a vCPU's worker tell each other; everything frequent goes through shared memory instead. */
import type { FeatureName } from '../../abi/arch-x86/cpufeatureset.ts';
import type { LogLevel } from '../../hypervisor/control.ts';
import type { CrashDump } from '../../hypervisor/crash-dump.ts';
import type { DomainLayout } from '../../hypervisor/domain-memory.ts';
import { vcpuBlock } from '../../hypervisor/domain-memory.ts';
import { DomainState, EvtchnEntry, PageInfo, VcpuState } from '../../hypervisor/state.ts';
import type { CheckOptions, Engine } from '../../cpu/index.ts';
import type { ClockStart } from './clock.ts';
import type { CompilerLink } from './compiler-messages.ts';

/** For a worker that waits. */
export interface Rehearsal {
  readonly module: WebAssembly.Module;
  readonly hiddenFeatures: readonly FeatureName[];
}

/** For a worker that waits: an empty memory, which may have grown into a domain's by the time that the worker is to run that one. */
export interface MemoryToCome {
  readonly memory: WebAssembly.Memory;
}

/** All that a worker starts from: the layout follows from the numbers. */
export interface VcpuStart {
  readonly domid: number;
  readonly vcpu: number;
  /** Absent: the last one to come. */
  readonly memory: WebAssembly.Memory | undefined;
  readonly module: WebAssembly.Module;
  readonly engine: Engine;
  readonly check: CheckOptions;
  /** Where a thread that fails may leave a report. */
  readonly logs: string;
  /** Where hot code is compiled; absent with the interpreter alone. */
  readonly compiler: CompilerLink | undefined;
  readonly maxPages: number;
  readonly maxVcpus: number;
  readonly maxEvtchnPort: number;
  readonly maxGrantFrames: number;
  /** How the main thread lays the domain out, as text: a worker with other sources than it must not touch the memory. */
  readonly layout: string;
  readonly hostState: SharedArrayBuffer;
  readonly clock: ClockStart;
  readonly schedule: ScheduleStart;
  /** `cpuid=` of the boot line. */
  readonly hiddenFeatures: readonly FeatureName[];
}

/** The run queue, and the vCPU's place in it; absent where there is no room. */
export interface ScheduleStart {
  readonly queue: SharedArrayBuffer;
  readonly nrCpus: number;
  readonly unit: number | undefined;
}

/** Everything that two threads have to agree on. */
export function layoutKey(layout: DomainLayout): string {
  return JSON.stringify([layout, DomainState.at, EvtchnEntry.at, PageInfo.at, VcpuState.at, vcpuBlock]);
}

export type VcpuMessage =
  /** What the host's kernel calls the thread, where it is known. */
  | { readonly kind: 'thread'; readonly tid: number }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly line: string }
  | { readonly kind: 'exception' }
  | { readonly kind: 'crashed'; readonly dump: CrashDump }
  | { readonly kind: 'up'; readonly vcpu: number }
  | { readonly kind: 'died'; readonly error: string }
  /** The domain has died, and the thread has nothing of it any more: it waits for another vCPU. */
  | { readonly kind: 'ended' };
