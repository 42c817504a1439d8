/** What vCPUs' threads and the compiler's thread tell each other, over a port for each vCPU. */
import type { MessagePort } from 'node:worker_threads';
import type { CompiledRegions, PackedJob } from '../../cpu/index.ts';

/** A vCPU's end: its port, and a counter that the compiler raises whenever it has sent something there. */
export interface CompilerLink {
  readonly port: MessagePort;
  readonly sent: SharedArrayBuffer;
}

/** From the vCPU. */
export interface CompileRequest {
  readonly id: number;
  readonly job: PackedJob;
}

/** To the vCPU. */
export type CompileAnswer = CompiledRegions;
