/**
 * Domains that begin where another one stopped. All frame numbers are what they were, so page tables, the types and counts of frames and pins hold as they are; what a clone does
 * not have is what others had of the domain (event channels, grants, domain 0's mappings) and what only a vCPU's thread knows. It finds itself as after a restore.
 */
import { PAGE_SIZE, type Mfn } from '../abi/numbers.ts';
import { MASK_BYTES, ROOM } from './code-coherence.ts';
import type { DomainTemplate } from './control.ts';
import type { DomainLayout } from './domain-memory.ts';
import { cpuRegionAt, DOMAIN_AT, vcpuAt } from './domain-memory.ts';
import type { Domain } from './domain.ts';
import { resetChannels } from './event-channel/lifecycle.ts';
import type { HeldFrame } from './grant-table/mappings.ts';
import { grow } from './grant-table/table.ts';
import type { Clock, MemoryPart, MemoryTemplate } from './host-services.ts';
import type { PlatformKind } from './platform.ts';
import { initialiseRunstates } from './runstate.ts';
import { initialiseSharedInfo } from './shared-info.ts';
import { VcpuState } from './state.ts';

export class DomainTemplateOf implements DomainTemplate {
  readonly layout: DomainLayout;
  readonly memory: MemoryTemplate;
  /** References to frames that domain 0 had by its mappings of grants, each as often as it had it. */
  readonly held: readonly HeldFrame[];

  constructor(layout: DomainLayout, memory: MemoryTemplate, held: readonly HeldFrame[]) {
    this.layout = layout;
    this.memory = memory;
    this.held = held;
  }

  close(): void {
    this.memory.close();
  }
}

/** All but what the vCPUs' processors can make anew, and are quick to. What they have decoded they are not, and it is right where the frames hold what they held. */
export function frozenParts(layout: DomainLayout): readonly MemoryPart[] {
  const { codeMask, decoded } = layout.processor;
  const blocks = Array.from({ length: layout.maxVcpus }, (_, vcpu) => {
    const region = cpuRegionAt(layout, vcpu);
    const masks = Math.ceil((layout.totalFrames * MASK_BYTES) / PAGE_SIZE) * PAGE_SIZE;
    const kept = decoded && [
      { at: region + decoded[0], end: region + decoded[1] },
      { at: region + codeMask, end: region + codeMask + masks },
    ];
    return [{ at: vcpuAt(layout, vcpu), end: region }, ...(kept ?? [])];
  });
  const end = layout.framesAt + layout.totalFrames * PAGE_SIZE;
  return [{ at: DOMAIN_AT, end: layout.vcpusAt }, ...blocks.flat(), { at: layout.framesAt, end }];
}

/** What a new, paused domain over a template's memory changes there. Returns its vCPUs that are online: they go on from the contexts in their blocks. */
export function beginFrom(
  { held }: DomainTemplateOf,
  domain: Domain,
  kind: PlatformKind,
  clock: Clock,
): readonly number[] {
  const { grantMfn, statusMfn, statusFrames, maxVcpus } = domain.layout;
  const put = (mfn: Mfn): void => kind.putWritable(domain, mfn);
  const vcpus = Array.from({ length: maxVcpus }, (_, vcpu) => domain.vcpuAt(vcpu));
  const word = (at: number, name: 'online' | 'infoRegistered' | 'infoMfn'): number =>
    domain.u32[(at + VcpuState.at[name]) >>> 2] ?? 0;
  const online = vcpus.flatMap((at, vcpu) => (word(at, 'online') === 0 ? [] : [vcpu]));
  domain.begin();
  domain.locked(() => {
    for (const { mfn, readonly } of held) (readonly ? kind.putPage : kind.putWritable)(domain, mfn);
    resetChannels(domain, put);
    for (const at of vcpus) if (word(at, 'infoRegistered') !== 0) put(word(at, 'infoMfn'));
    domain.u8.fill(0, domain.frameAt(grantMfn), domain.frameAt(statusMfn + statusFrames));
    for (const field of ['grantFrames', 'statusFrames'] as const) domain.set(field, 0);
    domain.set('sharedPages', domain.get('totPages'));
    grow(domain, 1);
  });
  for (const at of vcpus) clearVcpu(domain, at);
  initialiseSharedInfo(domain, clock);
  initialiseRunstates(domain, clock.now());
  return online;
}

/** Of what was written to code that its processor has decoded, and has not been told yet, a vCPU still hears. */
function clearVcpu(domain: Domain, at: number): void {
  const { written, writtenCount } = VcpuState.at;
  const count = domain.u32[(at + writtenCount) >>> 2] ?? 0;
  const ranges = domain.u32.slice((at + written) >>> 2, ((at + written) >>> 2) + 2 * ROOM);
  domain.u8.fill(0, at, at + VcpuState.size);
  domain.u32[(at + writtenCount) >>> 2] = count;
  domain.u32.set(ranges, (at + written) >>> 2);
}
