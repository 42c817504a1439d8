/** What the main thread and a vCPU's worker tell each other; everything frequent goes through shared memory instead. */
import type { LogLevel } from '../../hypervisor/control.ts';
import type { CrashDump } from '../../hypervisor/crash-dump.ts';
import type { LogThresholds } from '../../hypervisor/log-ring.ts';
import type { ClockStart } from './clock.ts';

/** All that a worker starts from: the layout follows from the numbers. */
export interface VcpuStart {
  readonly domid: number;
  readonly vcpu: number;
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly maxPages: number;
  readonly maxVcpus: number;
  readonly maxEvtchnPort: number;
  readonly maxGrantFrames: number;
  readonly hostState: SharedArrayBuffer;
  readonly clock: ClockStart;
  readonly thresholds: LogThresholds;
}

export type VcpuMessage =
  | { readonly kind: 'log'; readonly level: LogLevel; readonly line: string }
  | { readonly kind: 'exception' }
  | { readonly kind: 'crashed'; readonly dump: CrashDump }
  | { readonly kind: 'up'; readonly vcpu: number }
  | { readonly kind: 'died'; readonly error: string };
