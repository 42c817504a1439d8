/**
 * Several processors of one memory. What one has decoded, a store of another makes stale, and only its own thread can drop it. Each has masks of its own that tell
 * which pieces of which frames its operations came from; the others look at them:
 *
 * - A page that any of them decoded from is written on the slow path by all. Who decodes from a page for the first time says so (`codeHeld`), and each of the others
 *   takes away its fast path to such pages with `yieldHeld`, soon. What it wrote meanwhile it cannot tell, so the whole page counts as written.
 * - A store on the slow path is noted in a ring, and the masks are looked at when it has been done: at the latest 8 of them later, or when `run` is left. Whoever
 *   decodes marks the mask first, and then looks whether the bytes are still those that it decoded. Of a store and a look at the same time, one sees the other.
 *
 * So code may be executed a moment longer than it stands in memory, but never after its writer has told of it by way of the hypervisor. A real processor asks for a
 * serializing instruction there (SDM Vol. 3A, "Handling Self- and Cross-Modifying Code").
 */
import type { Code, Fn } from './wasm/code.ts';
import type { ModuleBuilder } from './wasm/module.ts';
import { I32, I64, ValType } from './wasm/value.ts';
import { Region, S, Stores, Tlb, View } from './state-layout.ts';

const { i32 } = ValType;

/** The processors of a memory, as one of them sees them. */
export interface Siblings {
  /** Host address of the code mask of the first, this one's among them; bytes from one to the next; how many. */
  readonly masksAt: number;
  readonly stride: number;
  readonly count: number;
  /** Operations come from a page that none of this processor came from before: the others are to call `yieldHeld`. */
  codeHeld(): void;
  /** Bytes were written that others decoded: they are to call `codeChanged`. */
  codeWritten(host: number, length: number): void;
}

export interface SiblingFunctions {
  /** (vcpu, host) → which 64-byte pieces of the page others hold decoded code of */
  readonly heldElsewhere: Fn<typeof ValType.i64>;
  /** (vcpu, host, bytes): a store on the slow path is about to be done. */
  readonly noteStore: Fn<undefined>;
  /** (vcpu): all stores that were noted have been done. */
  readonly settleStores: Fn<undefined>;
  /** (vcpu): waits until no other one holds the lock that they have in common. */
  readonly lockBus: Fn<undefined>;
  readonly unlockBus: Fn<undefined>;
  /** (vcpu): pages that others hold code of are not written on the fast path any more; `codeWritten` for those that could be. */
  readonly yieldHeld: Fn<undefined>;
}

/** The pieces of a page that bytes lie in, as bits of a mask. */
export function piecesOf(c: Code, host: I32, bytes: I32): I64 {
  const first = c.let(host.and(0xfff).shrU(6));
  const last = host.and(0xfff).add(bytes).sub(1).shrU(6);
  // Bits first…last: (2 << last) - (1 << first); 2 << 63 is 0, as it has to be.
  return I64.of(2).shl(last.extendU()).sub(I64.of(1).shl(first.extendU()));
}

/** `codeWrittenElsewhere(host address, bytes)` tells of bytes that were written and that others decoded. */
export function defineSiblings(m: ModuleBuilder, codeWrittenElsewhere: Fn<undefined>): SiblingFunctions {
  const heldElsewhere = m.function('heldElsewhere', [i32, i32], ValType.i64, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const mask = c.variable(ValType.i64, I64.of(0));
    const at = c.variable(i32, vcpu.load32(S.siblingMasks));
    const end = c.let(vcpu.load32(S.siblingMasksEnd));
    c.if(at.get.geU(end), () => c.return(I64.of(0)));
    const frame = c.let(host.sub(vcpu.load32(S.framesAt)).shrU(12));
    c.if(frame.geU(vcpu.load32(S.frameCount)), () => c.return(I64.of(0)));
    const own = c.let(vcpu.load32(S.codeMaskAt));
    c.loop((_again, againIf) => {
      c.if(at.get.ne(own), () => mask.set(mask.get.or(at.get.add(frame.shl(3)).load64())));
      at.set(at.get.add(vcpu.load32(S.siblingStride)));
      againIf(at.get.ltU(end));
    });
    c.return(mask.get);
    c.unreachable();
  });

  /** (vcpu, place in the ring): looks at the masks for the store that is noted there, and frees the place. */
  const settleStore = m.function('settleStore', [i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const place = c.param(i32, 1);
    const bytes = c.let(place.load32(Stores.bytes));
    c.if(bytes.eqz(), () => c.return());
    const host = c.let(place.load32(Stores.host));
    c.store32(place, I32.of(0), Stores.bytes);
    const held = c.let(c.call(heldElsewhere, vcpu, host));
    c.if(held.and(piecesOf(c, host, bytes)).ne(0), () => c.do(codeWrittenElsewhere, host, bytes));
  });

  const noteStore = m.function('noteStore', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const bytes = c.param(i32, 2);
    c.if(vcpu.load32(S.siblingMasksEnd).eqz(), () => c.return());
    const next = c.let(vcpu.load32(S.storesNext));
    const place = c.let(vcpu.add(next).add(S.stores));
    // Stores are seen in their order, but a load may overtake them (SDM Vol. 3A, "Memory Ordering"); a locked operation holds it back.
    c.drop(vcpu.add(S.zero).atomicOr64(I64.of(0)));
    c.do(settleStore, vcpu, place);
    c.store32(place, host, Stores.host);
    c.store32(place, bytes, Stores.bytes);
    c.store32(vcpu, next.add(Stores.size).and(Stores.size * Stores.entries - 1), S.storesNext);
    // It counts when it is done, and that is soon: where the block ends.
    const held = c.let(c.call(heldElsewhere, vcpu, host));
    c.if(held.and(piecesOf(c, host, bytes)).ne(0), () => c.store32(vcpu, I32.of(1), S.exitRequest));
  });

  const settleStores = m.function('settleStores', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    c.drop(vcpu.add(S.zero).atomicOr64(I64.of(0)));
    for (let n = 0; n < Stores.entries; n++) c.do(settleStore, vcpu, vcpu.add(S.stores + n * Stores.size));
  });

  const yieldHeld = m.function('yieldHeld', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    for (const view of [0, 1]) {
      const entry = c.variable(i32, vcpu.load32(S.views + view * View.size + View.tlb));
      const end = c.let(entry.get.add(Region.tlbSet));
      c.loop((_again, againIf) => {
        c.if(entry.get.load64(Tlb.write).ne(-1), () => {
          const host = c.let(entry.get.load32(Tlb.host));
          c.if(c.call(heldElsewhere, vcpu, host).ne(0), () => {
            c.store64(entry.get, I64.of(-1), Tlb.write);
            c.do(codeWrittenElsewhere, host, I32.of(4096));
          });
        });
        entry.set(entry.get.add(Tlb.entrySize));
        againIf(entry.get.ltU(end));
      });
    }
  });

  const lockBus = m.function('lockBus', [i32], undefined, (c) => {
    const lock = c.let(c.param(i32, 0).load32(S.busLockAt));
    c.loop((_again, againIf) => againIf(lock.atomicCompareExchange(4, I64.of(0), I64.of(1)).ne(0)));
  });

  const unlockBus = m.function('unlockBus', [i32], undefined, (c) => {
    c.drop(c.param(i32, 0).load32(S.busLockAt).atomicCompareExchange(4, I64.of(1), I64.of(0)));
  });

  return { heldElsewhere, noteStore, settleStores, lockBus, unlockBus, yieldHeld };
}
