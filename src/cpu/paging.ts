import type { Code, Fn } from './wasm/code.ts';
import type { ModuleBuilder } from './wasm/module.ts';
import { I32, I64, ValType } from './wasm/value.ts';
import { codeMaskOf, defineApart } from './apart.ts';
import { piecesOf, type SiblingFunctions } from './siblings.ts';
import { Vector } from './exits.ts';
import { jumpGroup } from './jump-cache.ts';
import { JumpCache, Region, S, Tlb, View } from './state-layout.ts';

const { i32, i64, f64, v128 } = ValType;

/** Page-table entry bits (SDM Vol. 3A, "4-Level Paging"). */
const P = 1;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
const NX_SHIFT = 63;

/** Page-fault error code bits (SDM Vol. 3A, "Page-Fault Exceptions"). */
const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

/** In `hasErrorCode`, until the fault is raised: the segment decides between #GP and #SS. */
export const NOT_CANONICAL = 2;

/** How a store of a translated region ended. `step`: it has to be done by a single step of the interpreter, since code may change. */
export const Stored = { fault: 0, step: 1, done: 2 } as const;

export const Access = { read: 0, write: 1, execute: 2 } as const;
export type Access = (typeof Access)[keyof typeof Access];

/** The functions that translate addresses. "0 on a fault" means that vector, error code and fault address are in the state. */
export interface Paging {
  /** (vcpu, va, access) → host address of the byte, or 0 on a fault. Fills the TLB. */
  readonly translate: Fn<typeof i32>;
  /** (vcpu, va, bytes) → host address to read from: the frame itself, or the bounce area for a page-crossing access. 0 on a fault. */
  readonly readSlow: Fn<typeof i32>;
  /** (vcpu, va, bytes) → host address to read and write; for a page-crossing access the bounce area, to be followed by `finishWrite`. 0 on a fault. */
  readonly writeSlow: Fn<typeof i32>;
  /** (vcpu): copies the bounce area to the two pages of the last page-crossing write. */
  readonly finishWrite: Fn<undefined>;
  /** (vcpu, va, value, bytes of 1, 2, 4, 8) → `Stored`: a whole store of a translated region, where the TLB alone did not do. */
  readonly storeSlow: Fn<typeof i32>;
  /** (vcpu, va, vector) → `Stored` */
  readonly storeVectorSlow: Fn<typeof i32>;
  /** (vcpu, va, bytes) → host address to read and write in a translated region, or `Stored.fault`, or `Stored.step`. */
  readonly writeHost: Fn<typeof i32>;
  /** `translate` for JavaScript: the address as a signed double, exact for canonical addresses. */
  readonly translateNumber: Fn<typeof i32>;
  readonly flushSpace: Fn<undefined>;
  readonly flushPage: Fn<undefined>;
  /** (vcpu, host page): no TLB entry of either view lets this page be written on the fast path any more. */
  readonly protectFrame: Fn<undefined>;
  /** (vcpu, view, bits): drops the translations to frames whose bits are set. */
  readonly dropFrames: Fn<undefined>;
  /** (vcpu, view, TLB set): takes the translations of a set over, where the bits in `scratch` allow it for the slot of the top table. */
  readonly takeOver: Fn<undefined>;
  /** (vcpu, view): where addresses lead has to be looked at again before the jump cache's entries are used. */
  readonly forgetJumps: Fn<undefined>;
  /** (vcpu, view): `protectFrame` for all pages of one view. */
  readonly protectSpace: Fn<undefined>;
}

const viewOf = (vcpu: I32, space: I32): I32 => vcpu.add(S.views).add(space.mul(View.size));

/**
 * `codeWritten(host address, bytes)` is called before a store changes bytes that decoded operations came from.
 */
export function definePaging(m: ModuleBuilder, codeWritten: Fn<undefined>, siblings: SiblingFunctions): Paging {
  const fault = m.function('fault', [i32, i32, i64, i32], i32, (c) => {
    // (vcpu, vector, address, error code) → 0
    const vcpu = c.param(i32, 0);
    c.store32(vcpu, c.param(i32, 1), S.vector);
    c.store64(vcpu, c.param(i64, 2), S.faultAddress);
    c.store32(vcpu, c.param(i32, 3), S.errorCode);
    c.store32(vcpu, I32.of(1), S.hasErrorCode);
    c.return(I32.of(0));
    c.unreachable();
  });

  const apart = defineApart(m);

  /** (vcpu, va, access) → host address, or 0. */
  const walk = m.function('walk', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const access = c.param(i32, 2);
    // A non-canonical address is a general protection fault, not a page fault (SDM Vol. 1, "Canonical Addressing").
    c.if(va.shl(16).shrS(16).ne(va), () => {
      c.do(fault, vcpu, I32.of(Vector.GP), va, I32.of(0));
      c.store32(vcpu, I32.of(NOT_CANONICAL), S.hasErrorCode);
      c.return(I32.of(0));
    });
    const user = c.let(vcpu.load32(S.space));
    const error = c.let(access.eq(Access.write).shl(1).or(user.shl(2)).or(access.eq(Access.execute).shl(4)));
    const failed = (bits: number): void =>
      c.return(c.call(fault, vcpu, I32.of(Vector.PF), va, bits === 0 ? error : error.or(bits)));
    const framesAt = c.let(vcpu.load32(S.framesAt));
    const frameCount = c.let(vcpu.load32(S.frameCount).extendU());
    const table = c.variable(i32, vcpu.add(user.shl(2)).load32(S.root));
    c.if(table.get.eqz(), () => failed(0));
    const rights = c.variable(i64, I64.of(P | W | U)); // intersection over the levels
    const nx = c.variable(i64, I64.of(0)); // union over the levels
    const host = c.variable(i32, I32.of(0));
    const slots = [39, 30, 21, 12].map(() => c.variable(i32, I32.of(0)));
    c.block((mapped) => {
      [39, 30, 21, 12].forEach((shift, level) => {
        const slot = slots[level];
        if (!slot) return;
        slot.set(table.get.add(va.shrU(shift).wrap().and(511).shl(3)));
        const entry = c.let(slot.get.load64());
        c.if(entry.and(P).eqz(), () => failed(0));
        rights.set(rights.get.and(entry));
        nx.set(nx.get.or(entry));
        const frame = c.let(entry.shrU(12).and(0xff_ffff_ffffn));
        c.if(frame.geU(frameCount), () => failed(ERROR.present | ERROR.reserved));
        const frameHost = framesAt.add(frame.wrap().shl(12));
        const large = entry.and(PS).ne(0);
        if (level === 0) c.if(large, () => failed(ERROR.present | ERROR.reserved));
        if (level === 1 || level === 2)
          c.if(large, () => {
            // The frame number's low bits come from the address; bit 12 of the entry is PAT, not part of it.
            const mask = BigInt((1 << (shift - 12)) - 1);
            const small = c.let(frame.and(~mask).or(va.shrU(12).and(mask)));
            c.if(small.geU(frameCount), () => failed(ERROR.present | ERROR.reserved));
            host.set(framesAt.add(small.wrap().shl(12)));
            mapped();
          });
        if (level < 3) table.set(frameHost);
        else host.set(frameHost);
      });
    });
    c.if(user.and(rights.get.and(U).eqz()), () => failed(ERROR.present));
    c.if(access.eq(Access.execute).and(nx.get.shrU(NX_SHIFT).wrap()), () => failed(ERROR.present));
    const isWrite = c.let(access.eq(Access.write));
    c.if(isWrite.and(rights.get.and(W).eqz()), () => {
      const frame = host.get.sub(framesAt).shrU(12);
      c.if(frame.ne(vcpu.load32(S.writableFrame)), () => failed(ERROR.present));
      // Granted for this one instruction: nothing may enter the TLB, and D stays as it is.
      c.return(host.get.or(va.wrap().and(0xfff)));
    });
    // Accessed in every level, dirty in the last (SDM Vol. 3A, "Accessed and Dirty Flags"); another vCPU may update the same entry.
    const last = c.variable(i32, I32.of(0));
    for (const slot of slots) {
      c.if(slot.get.ne(0), () => {
        last.set(slot.get);
        c.if(slot.get.load64().and(A).eqz(), () => c.drop(slot.get.atomicOr64(I64.of(A))));
      });
    }
    c.if(isWrite, () => {
      c.if(last.get.load64().and(D).eqz(), () => c.drop(last.get.atomicOr64(I64.of(D))));
    });
    c.if(
      vcpu.load32(S.apart),
      () => {
        const page = c.let(host.get);
        host.set(c.call(apart, vcpu, page, access));
        c.if(host.get.eqz(), () => failed(ERROR.present));
        // A region keeps what the TLB told it, and this page is another one as soon as it is written.
        c.if(access.eq(Access.read).and(host.get.eq(page)), () => c.return(page.or(va.wrap().and(0xfff))));
      },
      undefined,
      'unlikely',
    );
    const page = c.let(va.and(~0xfffn));
    const entry = c.let(
      vcpu.load32(S.tlb).add(
        va
          .shrU(7)
          .wrap()
          .and((Tlb.entries - 1) << 5),
      ),
    );
    // Another page had this entry: its other tags must not survive with the new host address.
    c.if(entry.load32(Tlb.host).ne(host.get), () => {
      for (const tag of [Tlb.read, Tlb.write, Tlb.execute]) c.store64(entry, I64.of(-1), tag);
    });
    for (const tag of [Tlb.read, Tlb.write, Tlb.execute]) {
      c.if(entry.load64(tag).ne(page), () => c.store64(entry, I64.of(-1), tag));
    }
    c.store32(entry, host.get, Tlb.host);
    c.store32(entry, host.get.sub(page.wrap()), Tlb.addend);
    c.if(access.eq(Access.read), () => c.store64(entry, page, Tlb.read));
    c.if(access.eq(Access.execute), () => c.store64(entry, page, Tlb.execute));
    c.if(isWrite, () => {
      c.store64(entry, page, Tlb.read);
      const held = codeMaskOf(c, vcpu, host.get).or(c.call(siblings.heldElsewhere, vcpu, host.get));
      c.if(held.eqz(), () => c.store64(entry, page, Tlb.write));
    });
    c.return(host.get.or(va.wrap().and(0xfff)));
    c.unreachable();
  });

  const translate = m.function('translate', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const access = c.param(i32, 2);
    const entry = c.let(
      vcpu.load32(S.tlb).add(
        va
          .shrU(7)
          .wrap()
          .and((Tlb.entries - 1) << 5),
      ),
    );
    c.if(entry.add(access.shl(3)).load64().eq(va.and(~0xfffn)), () => {
      c.return(va.wrap().add(entry.load32(Tlb.addend)));
    });
    c.returnCall(walk, vcpu, va, access);
    c.unreachable();
  });

  /** (vcpu, va, bytes, access) → bounce area for a page-crossing access, both pieces noted and read. */
  const cross = m.function('cross', [i32, i64, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const bytes = c.param(i32, 2);
    const access = c.param(i32, 3);
    // The whole access has to be canonical before either page is looked at.
    const last = c.let(va.add(bytes.extendU()).sub(1));
    c.if(last.shl(16).shrS(16).ne(last), () => c.return(c.call(translate, vcpu, last, access)));
    const first = c.let(c.call(translate, vcpu, va, access));
    c.if(first.eqz(), () => c.return(I32.of(0)));
    const second = c.let(c.call(translate, vcpu, va.and(~0xfffn).add(4096), access));
    c.if(second.eqz(), () => c.return(I32.of(0)));
    const inFirst = c.let(I32.of(4096).sub(va.wrap().and(0xfff)));
    c.store32(vcpu, first, S.crossing);
    c.store32(vcpu, second, S.crossing + 4);
    c.store32(vcpu, inFirst, S.crossing + 8);
    c.store32(vcpu, bytes, S.crossing + 12);
    const bounce = c.let(vcpu.add(S.bounce));
    c.memoryCopy(bounce, first, inFirst);
    c.memoryCopy(bounce.add(inFirst), second, bytes.sub(inFirst));
    c.return(bounce);
    c.unreachable();
  });

  const crosses = (va: I64, bytes: I32): I32 => va.wrap().and(0xfff).add(bytes).gtU(4096);

  const readSlow = m.function('readSlow', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const bytes = c.param(i32, 2);
    c.if(crosses(va, bytes), () => c.returnCall(cross, vcpu, va, bytes, I32.of(Access.read)));
    c.returnCall(translate, vcpu, va, I32.of(Access.read));
    c.unreachable();
  });

  /** (vcpu, host, bytes): tells JavaScript when decoded operations came from these bytes. */
  const checkCode = m.function('checkCode', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const bytes = c.param(i32, 2);
    const mask = c.let(codeMaskOf(c, vcpu, host));
    c.if(mask.ne(0), () => {
      c.if(mask.and(piecesOf(c, host, bytes)).ne(0), () => c.do(codeWritten, host, bytes));
    });
    c.do(siblings.noteStore, vcpu, host, bytes);
  });

  const writeSlow = m.function('writeSlow', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const bytes = c.param(i32, 2);
    c.if(crosses(va, bytes), () => c.returnCall(cross, vcpu, va, bytes, I32.of(Access.write)));
    const host = c.let(c.call(translate, vcpu, va, I32.of(Access.write)));
    c.if(host.ne(0), () => c.do(checkCode, vcpu, host, bytes));
    c.return(host);
    c.unreachable();
  });

  const finishWrite = m.function('finishWrite', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const first = c.let(vcpu.load32(S.crossing));
    const second = c.let(vcpu.load32(S.crossing + 4));
    const inFirst = c.let(vcpu.load32(S.crossing + 8));
    const inSecond = c.let(vcpu.load32(S.crossing + 12).sub(inFirst));
    c.do(checkCode, vcpu, first, inFirst);
    c.do(checkCode, vcpu, second, inSecond);
    c.memoryCopy(first, vcpu.add(S.bounce), inFirst);
    c.memoryCopy(second, vcpu.add(S.bounce).add(inFirst), inSecond);
  });

  /** (vcpu, host, bytes) → whether operations came from these bytes, or from others in the same 64. */
  const touchesCode = m.function('touchesCode', [i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const bytes = c.param(i32, 2);
    const mask = c.let(codeMaskOf(c, vcpu, host));
    c.return(mask.and(piecesOf(c, host, bytes)).ne(0));
    c.unreachable();
  });

  /** Stores at the host address that `write` is for; both pieces of a page-crossing store are looked at before. */
  const wholeStore = (c: Code, bytes: I32, store: (host: I32) => void): void => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const crossing = c.let(crosses(va, bytes));
    c.if(crossing, () => {
      const bounce = c.let(c.call(cross, vcpu, va, bytes, I32.of(Access.write)));
      c.if(bounce.eqz(), () => c.return(I32.of(Stored.fault)));
      const inFirst = c.let(vcpu.load32(S.crossing + 8));
      const second = c.let(vcpu.load32(S.crossing + 4));
      const changes = c
        .call(touchesCode, vcpu, vcpu.load32(S.crossing), inFirst)
        .or(c.call(touchesCode, vcpu, second, bytes.sub(inFirst)));
      c.if(changes, () => c.return(I32.of(Stored.step)));
      store(bounce);
      c.do(finishWrite, vcpu);
      c.return(I32.of(Stored.done));
    });
    const at = c.let(c.call(translate, vcpu, va, I32.of(Access.write)));
    c.if(at.eqz(), () => c.return(I32.of(Stored.fault)));
    c.if(c.call(touchesCode, vcpu, at, bytes), () => c.return(I32.of(Stored.step)));
    c.do(siblings.noteStore, vcpu, at, bytes);
    store(at);
    c.return(I32.of(Stored.done));
    c.unreachable();
  };

  const storeSlow = m.function('storeSlow', [i32, i64, i64, i32], i32, (c) => {
    const value = c.param(i64, 2);
    const bytes = c.param(i32, 3);
    wholeStore(c, bytes, (host) => {
      c.if(bytes.eq(8), () => c.store64(host, value));
      c.if(bytes.eq(4), () => c.store32(host, value));
      c.if(bytes.eq(2), () => c.store16(host, value));
      c.if(bytes.eq(1), () => c.store8(host, value));
    });
  });

  const storeVectorSlow = m.function('storeVectorSlow', [i32, i64, v128], i32, (c) =>
    wholeStore(c, I32.of(16), (host) => c.storeV128(host, c.param(v128, 2))),
  );

  const writeHost = m.function('writeHost', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const bytes = c.param(i32, 2);
    c.if(crosses(va, bytes), () => c.return(I32.of(Stored.step)));
    const host = c.let(c.call(translate, vcpu, va, I32.of(Access.write)));
    c.if(host.eqz(), () => c.return(I32.of(Stored.fault)));
    c.if(c.call(touchesCode, vcpu, host, bytes), () => c.return(I32.of(Stored.step)));
    c.do(siblings.noteStore, vcpu, host, bytes);
    c.return(host);
    c.unreachable();
  });

  const forgetJumps = m.function('forgetJumps', [i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const space = c.param(i32, 1);
    const view = c.let(viewOf(vcpu, space));
    const key = c.variable(i64, view.load64(View.jumpKey).add(JumpCache.generation));
    c.if(key.get.geS(JumpCache.generations), () => {
      c.memoryFill(view.load32(View.jumpCache), I32.of(JumpCache.free), I32.of(Region.jumpCacheSet));
      key.set(I64.of(0));
    });
    c.store64(view, key.get, View.jumpKey);
    c.if(vcpu.load32(S.space).eq(space), () => c.store64(vcpu, key.get, S.jumpKey));
  });

  const flushSpace = m.function('flushSpace', [i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const space = c.param(i32, 1);
    const view = c.let(viewOf(vcpu, space));
    c.memoryFill(view.load32(View.tlb), I32.of(0xff), I32.of(Region.tlbSet));
    c.do(forgetJumps, vcpu, space);
  });

  const translateNumber = m.function('translateNumber', [i32, f64, i32], i32, (c) => {
    c.returnCall(translate, c.param(i32, 0), c.param(f64, 1).toI64S(), c.param(i32, 2));
    c.unreachable();
  });

  const flushPage = m.function('flushPage', [i32, i32, f64], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const view = c.let(viewOf(vcpu, c.param(i32, 1)));
    const va = c.let(c.param(f64, 2).toI64S());
    const entry = c.let(
      view.load32(View.tlb).add(
        va
          .shrU(7)
          .wrap()
          .and((Tlb.entries - 1) << 5),
      ),
    );
    for (const tag of [Tlb.read, Tlb.write, Tlb.execute]) c.store64(entry, I64.of(-1), tag);
    c.memoryFill(
      view.load32(View.jumpCache).add(jumpGroup(va)),
      I32.of(JumpCache.free),
      I32.of(JumpCache.group * JumpCache.entrySize),
    );
  });

  /** Every entry of a TLB set. */
  const eachEntry = (c: Code, set: I32, body: (entry: I32) => void): void => {
    const entry = c.variable(i32, set);
    const end = c.let(entry.get.add(Region.tlbSet));
    c.loop((_again, againIf) => {
      body(entry.get);
      entry.set(entry.get.add(Tlb.entrySize));
      againIf(entry.get.ltU(end));
    });
  };

  const protectFrame = m.function('protectFrame', [i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const page = c.param(i32, 1);
    for (const space of [0, 1])
      eachEntry(c, viewOf(vcpu, I32.of(space)).load32(View.tlb), (entry) =>
        c.if(entry.load32(Tlb.host).eq(page), () => c.store64(entry, I64.of(-1), Tlb.write)),
      );
  });

  const dropFrames = m.function('dropFrames', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const framesAt = c.let(vcpu.load32(S.framesAt));
    eachEntry(c, viewOf(vcpu, c.param(i32, 1)).load32(View.tlb), (entry) => {
      const host = c.let(entry.load32(Tlb.host));
      c.if(host.ne(-1), () => {
        const frame = c.let(host.sub(framesAt).shrU(12));
        c.if(c.param(i32, 2).add(frame.shrU(3)).load8U().shrU(frame.and(7)).and(1), () => {
          for (const tag of [Tlb.read, Tlb.write, Tlb.execute]) c.store64(entry, I64.of(-1), tag);
        });
      });
    });
  });

  const takeOver = m.function('takeOver', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const to = c.let(viewOf(vcpu, c.param(i32, 1)).load32(View.tlb));
    c.memoryCopy(to, c.param(i32, 2), I32.of(Region.tlbSet));
    eachEntry(c, to, (entry) => {
      // Its tags are -1, or one and the same page.
      const va = c.let(entry.load64(Tlb.read).and(entry.load64(Tlb.write)).and(entry.load64(Tlb.execute)));
      const slot = c.let(va.shrU(39).wrap().and(511));
      c.if(vcpu.add(S.scratch).add(slot.shrU(3)).load8U().shrU(slot.and(7)).and(1).eqz(), () => {
        for (const tag of [Tlb.read, Tlb.write, Tlb.execute]) c.store64(entry, I64.of(-1), tag);
      });
    });
  });

  const protectSpace = m.function('protectSpace', [i32, i32], undefined, (c) => {
    const set = viewOf(c.param(i32, 0), c.param(i32, 1)).load32(View.tlb);
    eachEntry(c, set, (entry) => c.store64(entry, I64.of(-1), Tlb.write));
  });

  return {
    translate,
    translateNumber,
    readSlow,
    writeSlow,
    finishWrite,
    storeSlow,
    storeVectorSlow,
    writeHost,
    flushSpace,
    flushPage,
    protectFrame,
    protectSpace,
    dropFrames,
    takeOver,
    forgetJumps,
  };
}
