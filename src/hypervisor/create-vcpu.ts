/** Puts a vCPU together in the thread that will run it. */
import type { Domain } from './domain.ts';
import type { Clock, Glue } from './host-services.ts';
import { createHypercallTable } from './hypercalls/index.ts';
import type { PlatformKind } from './platform.ts';
import type { Processor } from './processor.ts';
import { VcpuLoop } from './vcpu-loop.ts';
import { Vcpu } from './vcpu.ts';

export interface VcpuParts {
  readonly domain: Domain;
  readonly vcpu: number;
  readonly processor: Processor;
  readonly clock: Clock;
  readonly glue: Glue;
  readonly kind: PlatformKind;
}

export function createVcpuLoop(parts: VcpuParts): VcpuLoop {
  const vcpu = new Vcpu(parts.domain, parts.vcpu, parts.processor, parts.clock, parts.glue);
  const platform = parts.kind.createVcpu(vcpu);
  vcpu.attach(platform);
  return new VcpuLoop(vcpu, createHypercallTable(platform.hypercalls));
}
