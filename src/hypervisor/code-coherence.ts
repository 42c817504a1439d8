/**
 * What a vCPU has decoded goes stale when somebody else writes there: domain 0, which writes guest frames in place, or another vCPU (src/cpu/siblings.ts). Only the
 * vCPU's own thread can drop it: the bytes are left for it, in the rare case that there is any such code.
 */
import type { HostAddress, Mfn } from '../abi/numbers.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import type { Siblings } from '../cpu/siblings.ts';
import { cpuRegionAt } from './domain-memory.ts';
import type { Domain } from './domain.ts';
import { VcpuState } from './state.ts';
import type { Vcpu } from './vcpu.ts';

/** Ranges that a vCPU has room for: address and length. */
export const ROOM = 64;
/** A mask has 8 bytes for each frame, and a bit for each 64 bytes of it. */
export const MASK_BYTES = 8;
const PIECE_SHIFT = 6;

const maskIndex = (domain: Domain, vcpu: number, mfn: Mfn): number =>
  (cpuRegionAt(domain.layout, vcpu) + domain.layout.processor.codeMask + mfn * MASK_BYTES) >>> 2;

const holdsCode = (domain: Domain, vcpu: number, mfn: Mfn): boolean => {
  const index = maskIndex(domain, vcpu, mfn);
  return ((domain.u32[index] ?? 0) | (domain.u32[index + 1] ?? 0)) !== 0;
};

/** Whether a vCPU has decoded from bytes of one frame, or from others in the same pieces. */
const holdsCodeOf = (domain: Domain, vcpu: number, offset: number, length: number): boolean => {
  const mfn = Math.floor(offset / PAGE_SIZE);
  if (!holdsCode(domain, vcpu, mfn)) return false;
  const index = maskIndex(domain, vcpu, mfn);
  const first = (offset % PAGE_SIZE) >>> PIECE_SHIFT;
  const last = ((offset % PAGE_SIZE) + length - 1) >>> PIECE_SHIFT;
  for (let piece = first; piece <= last; piece++)
    if ((((domain.u32[index + (piece >>> 5)] ?? 0) >>> (piece & 31)) & 1) !== 0) return true;
  return false;
};

/** After a write into one frame, from any thread; `writer` is the vCPU that has seen to itself. */
export function announceWrite(domain: Domain, host: HostAddress, length: number, writer?: number): void {
  // A load may overtake a store before it; a locked operation holds it back (SDM Vol. 3A, "Memory Ordering").
  Atomics.or(domain.i32, (domain.vcpuAt(0) + VcpuState.at.yieldHeld) >>> 2, 0);
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) {
    if (vcpu === writer || !holdsCodeOf(domain, vcpu, host - domain.layout.framesAt, length)) continue;
    domain.locked(() => leave(domain, vcpu, host, length));
    domain.kick(vcpu);
  }
}

function leave(domain: Domain, vcpu: number, host: HostAddress, length: number): void {
  const at = domain.vcpuAt(vcpu);
  const count = (at + VcpuState.at.writtenCount) >>> 2;
  const list = (at + VcpuState.at.written) >>> 2;
  const used = Atomics.load(domain.i32, count);
  const last = list + (used - 1) * 2;
  // A loop that writes word by word makes one range.
  if (used > 0 && used <= ROOM && (domain.u32[last] ?? 0) + (domain.u32[last + 1] ?? 0) === host) {
    domain.u32[last + 1] = (domain.u32[last + 1] ?? 0) + length;
    return;
  }
  if (used < ROOM) {
    domain.u32[list + used * 2] = host;
    domain.u32[list + used * 2 + 1] = length;
  }
  // One more than there is room for stands for "all of them".
  Atomics.store(domain.i32, count, Math.min(used + 1, ROOM + 1));
}

/** The vCPU's own thread drops what is stale. */
export function takeWrites(vcpu: Vcpu): void {
  const { domain, processor } = vcpu;
  const ranges = domain.locked(() => {
    const used = vcpu.load('writtenCount');
    const first = (vcpu.at + VcpuState.at.written) >>> 2;
    vcpu.store('writtenCount', 0);
    return used > ROOM ? undefined : domain.u32.slice(first, first + used * 2);
  });
  const { framesAt, totalFrames } = domain.layout;
  if (ranges === undefined) {
    for (let mfn = 0; mfn < totalFrames; mfn++)
      if (holdsCode(domain, vcpu.id, mfn)) processor.codeChanged(framesAt + mfn * PAGE_SIZE, PAGE_SIZE);
    return;
  }
  for (let i = 0; i < ranges.length; i += 2) {
    const end = (ranges[i] ?? 0) + (ranges[i + 1] ?? 0);
    for (let at = ranges[i] ?? 0; at < end;) {
      const piece = Math.min(end - at, PAGE_SIZE - ((at - framesAt) % PAGE_SIZE));
      processor.codeChanged(at, piece);
      at += piece;
    }
  }
}

/** What the processor of a vCPU has to know of those of the others; undefined where there are none. */
export function siblingsOf(domain: Domain, vcpu: number): Siblings | undefined {
  const { maxVcpus, processor, vcpuStride } = domain.layout;
  if (maxVcpus === 1) return undefined;
  const others = Array.from({ length: maxVcpus }, (_, n) => n).filter((n) => n !== vcpu);
  return {
    masksAt: cpuRegionAt(domain.layout, 0) + processor.codeMask,
    stride: vcpuStride,
    count: maxVcpus,
    codeHeld() {
      for (const other of others) {
        const at = domain.vcpuAt(other);
        Atomics.store(domain.i32, (at + VcpuState.at.yieldHeld) >>> 2, 1);
        // Who sleeps writes nothing, and looks before it does.
        if (Atomics.load(domain.i32, (at + VcpuState.at.running) >>> 2) !== 0) domain.askToLeave(other);
      }
    },
    codeWritten: (host, length) => announceWrite(domain, host, length, vcpu),
  };
}

/** Pages that other vCPUs decoded from are not written on the fast path any more. */
export function yieldHeldCode(vcpu: Vcpu): void {
  vcpu.store('yieldHeld', 0);
  vcpu.processor.yieldHeld();
}
