import type { I32, I64 } from './wasm/value.ts';
import { JumpCache, S } from './state-layout.ts';

/** Host address of the entry for a linear address. The entries of one page lie together, so that flushing a page clears few. */
export const jumpEntry = (vcpu: I32, va: I64): I32 => {
  const within = va
    .wrap()
    .xor(va.shrU(6).wrap())
    .and(JumpCache.group - 1);
  return vcpu.load32(S.jumpCache).add(jumpGroup(va).add(within.shl(4)));
};

/** What an entry of the active generation has in the place of the address. */
export const jumpKey = (vcpu: I32, va: I64): I64 => va.xor(vcpu.load64(S.jumpKey));

/** Byte offset of the entries of a page. */
export const jumpGroup = (va: I64): I32 =>
  va
    .shrU(12)
    .wrap()
    .and(JumpCache.entries / JumpCache.group - 1)
    .mul(JumpCache.group * JumpCache.entrySize);
