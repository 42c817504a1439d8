/**
 * Domain 0 writes guest frames in place. Code that a vCPU has decoded from such a frame is stale then, and only the
 * vCPU's own thread can drop it: the frame's number is left for it, in the rare case that there is any such code.
 */
import type { Mfn } from '../abi/numbers.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import { cpuRegionAt } from './domain-memory.ts';
import type { Domain } from './domain.ts';
import { VcpuState } from './state.ts';
import type { Vcpu } from './vcpu.ts';

const ROOM = 32;
const BYTES_PER_FRAME = 8;

const maskIndex = (domain: Domain, vcpu: number, mfn: Mfn): number =>
  (cpuRegionAt(domain.layout, vcpu) + domain.layout.processor.codeMask + mfn * BYTES_PER_FRAME) >>> 2;

const holdsCode = (domain: Domain, vcpu: number, mfn: Mfn): boolean => {
  const index = maskIndex(domain, vcpu, mfn);
  return ((domain.u32[index] ?? 0) | (domain.u32[index + 1] ?? 0)) !== 0;
};

/** After the write, from any thread. */
export function announceWrite(domain: Domain, mfn: Mfn): void {
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    if (!holdsCode(domain, vcpu, mfn)) continue;
    domain.locked(() => {
      const at = domain.vcpuAt(vcpu);
      const count = (at + VcpuState.at.writtenCount) >>> 2;
      const used = Atomics.load(domain.i32, count);
      if (used < ROOM) domain.u32[((at + VcpuState.at.written) >>> 2) + used] = mfn;
      // One more than there is room for stands for "all of them".
      Atomics.store(domain.i32, count, Math.min(used + 1, ROOM + 1));
    });
    domain.kick(vcpu);
  }
}

/** The vCPU's own thread drops what is stale. */
export function takeWrites(vcpu: Vcpu): void {
  const { domain, processor } = vcpu;
  const frames = domain.locked(() => {
    const used = vcpu.load('writtenCount');
    const first = (vcpu.at + VcpuState.at.written) >>> 2;
    vcpu.store('writtenCount', 0);
    return used > ROOM ? undefined : [...domain.u32.subarray(first, first + used)];
  });
  const drop = (mfn: Mfn): void => processor.frameWritten(mfn, 0, PAGE_SIZE);
  if (frames !== undefined) frames.forEach(drop);
  else for (let mfn = 0; mfn < domain.layout.totalFrames; mfn++) if (holdsCode(domain, vcpu.id, mfn)) drop(mfn);
}
