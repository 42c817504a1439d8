import type { Code, Fn } from './wasm/code.ts';
import type { ModuleBuilder } from './wasm/module.ts';
import { I32, type I64, ValType } from './wasm/value.ts';
import { Exit, Vector } from './exits.ts';
import { leave } from './hooks.ts';
import { jumpEntry, jumpKey } from './jump-cache.ts';
import { Access, NOT_CANONICAL, type Paging } from './paging.ts';
import { BlockTable, JumpCache, Op, Region, S } from './state-layout.ts';

const { i32, i64 } = ValType;

/** How one operation leads to the next. Every handler has the type (vcpu, op) → exit and ends in a tail call. */
export interface Dispatch {
  readonly handlerType: number;
  /** (vcpu, op) → Exit.Exception, with RIP at the operation. */
  readonly raise: Fn<typeof i32>;
  /** (vcpu, rip, length and stack of `Leaving`) → Exit.Exception: what `raise` does, without an operation. */
  readonly leaveFault: Fn<typeof i32>;
  /** (vcpu, rip, `Leaving`, budget left) → exit: from translated code, whose registers and flags are in the state. */
  readonly leaveRegion: Fn<typeof i32>;
  /** (vcpu, vector, error code or -1 for none): the exception that is to be raised. */
  readonly setVector: Fn<undefined>;
  /** (vcpu, op, vector, error code or -1 for none) → Exit.Exception, with RIP at the operation. */
  readonly raiseVector: Fn<typeof i32>;
  /** (vcpu, va, instructions since block entry) → exit: continues at a linear address. */
  readonly jump: Fn<typeof i32>;
  /** (vcpu, va) → exit: the same without checkpoint and jump cache. */
  readonly jumpSlow: Fn<typeof i32>;
  /** (vcpu, op): a direct branch within the page is taken for the first time. */
  readonly linkBranch: Fn<typeof i32>;
  /** (vcpu) → exit: starts at RIP. */
  readonly run: Fn<typeof i32>;
  /** (vcpu, op) → exit: starts at an operation. */
  readonly runOp: Fn<typeof i32>;
}

/** Executes the operation `op`. */
export function dispatchTo(c: Code, handlerType: number, vcpu: I32, op: I32): void {
  c.returnCallIndirect(handlerType, op.load32(Op.handler), vcpu, op);
}

/** The instruction's linear address. */
export const ripOf = (vcpu: I32, op: I32): I64 => vcpu.load64(S.pageVa).add(op.load64From16U(Op.off));

export function defineDispatch(m: ModuleBuilder, paging: Paging): Dispatch {
  const handlerType = m.type([i32, i32], i32);

  const leaveFault = m.function('leaveFault', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const meta = c.param(i32, 2);
    c.store64(vcpu, c.param(i64, 1), S.rip);
    c.store32(vcpu, meta.and(0xff), S.length);
    // A non-canonical address is a stack fault when the stack segment is the one used (SDM Vol. 1, "Canonical Addressing").
    c.if(vcpu.load32(S.hasErrorCode).eq(NOT_CANONICAL), () => {
      c.store32(vcpu, I32.of(1), S.hasErrorCode);
      c.if(meta.shrU(Leaving.stack), () => c.store32(vcpu, I32.of(Vector.SS), S.vector));
    });
    leave(c, handlerType, vcpu, I32.of(0), Exit.Exception);
    c.unreachable();
  });

  const leaveRegion = m.function('leaveRegion', [i32, i64, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const meta = c.param(i32, 2);
    c.store32(vcpu, c.param(i32, 3).sub(meta.shrU(Leaving.done)), S.budget);
    const exit = c.let(meta.shrU(Leaving.exit).and(0x1f));
    c.if(exit, () => {
      c.store64(vcpu, c.param(i64, 1), S.rip);
      c.return(exit);
    });
    c.returnCall(leaveFault, vcpu, c.param(i64, 1), meta.and((1 << Leaving.exit) - 1));
    c.unreachable();
  });

  const raise = m.function('raise', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const base = c.let(op.load16U(Op.base));
    c.returnCall(leaveFault, vcpu, ripOf(vcpu, op), op.load8U(Op.len).or(usesStack(base, op).shl(Leaving.stack)));
    c.unreachable();
  });

  const setVector = m.function('setVector', [i32, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const error = c.param(i32, 2);
    const hasError = c.let(error.ne(-1));
    c.store32(vcpu, c.param(i32, 1), S.vector);
    c.store32(vcpu, hasError, S.hasErrorCode);
    c.store32(vcpu, hasError.select(error, I32.of(0)), S.errorCode);
  });

  const raiseVector = m.function('raiseVector', [i32, i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    c.do(setVector, vcpu, c.param(i32, 2), c.param(i32, 3));
    c.returnCall(raise, vcpu, c.param(i32, 1));
    c.unreachable();
  });

  /** (host, mode, vcpu) → operation or 0. */
  const findBlock = m.function('findBlock', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const key = c.let(host.extendU().or(vcpu.load32(S.mode).extendU().shl(32)));
    const at = c.variable(i32, blockHash(host));
    const table = c.let(vcpu.add(Region.blockTableAt));
    c.loop((again) => {
      const entry = c.let(table.add(at.get.shl(4)));
      const found = c.let(entry.load64(BlockTable.key));
      c.if(found.eq(key), () => c.return(entry.load32(BlockTable.op)));
      c.if(found.eqz(), () => c.return(I32.of(0)));
      at.set(at.get.add(1).and(BlockTable.entries - 1));
      again();
    });
    c.unreachable();
  });

  /** (vcpu, va) → exit: continues at `va` without the jump cache. */
  const jumpSlow = m.function('jumpSlow', [i32, i64], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    c.store64(vcpu, va, S.rip);
    const host = c.let(c.call(paging.translate, vcpu, va, I32.of(Access.execute)));
    c.if(host.eqz(), () => {
      c.store32(vcpu, I32.of(1), S.hasErrorCode);
      leave(c, handlerType, vcpu, I32.of(0), Exit.Exception);
    });
    const op = c.let(c.call(findBlock, vcpu, host));
    c.if(op.eqz(), () => c.return(I32.of(Exit.Decode)));
    const entry = c.let(jumpEntry(vcpu, va));
    c.store64(entry, jumpKey(vcpu, va), JumpCache.va);
    c.store32(entry, op, JumpCache.op);
    c.store32(entry, host.and(~0xfff), JumpCache.host);
    c.store64(vcpu, va.and(~0xfffn), S.pageVa);
    dispatchTo(c, handlerType, vcpu, op);
    c.unreachable();
  });

  /** (vcpu, va, entry) → exit: the entry is not of this generation, but may be right all the same. */
  const jumpAgain = m.function('jumpAgain', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    const entry = c.param(i32, 2);
    // The same address in its 48 bits: of two canonical ones, the same.
    const sameAddress = entry.load64(JumpCache.va).xor(va).shl(16).eqz();
    c.if(sameAddress.and(va.shl(16).shrS(16).eq(va)), () => {
      const host = c.let(c.call(paging.translate, vcpu, va, I32.of(Access.execute)));
      c.if(host.and(~0xfff).eq(entry.load32(JumpCache.host)), () => {
        c.store64(entry, jumpKey(vcpu, va), JumpCache.va);
        c.store64(vcpu, va.and(~0xfffn), S.pageVa);
        dispatchTo(c, handlerType, vcpu, entry.load32(JumpCache.op));
      });
    });
    c.returnCall(jumpSlow, vcpu, va);
    c.unreachable();
  });

  const jump = m.function('jump', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.param(i64, 1);
    checkpoint(c, vcpu, c.param(i32, 2), va);
    const entry = c.let(jumpEntry(vcpu, va));
    c.if(entry.load64(JumpCache.va).ne(jumpKey(vcpu, va)), () => c.returnCall(jumpAgain, vcpu, va, entry));
    c.store64(vcpu, va.and(~0xfffn), S.pageVa);
    dispatchTo(c, handlerType, vcpu, entry.load32(JumpCache.op));
    c.unreachable();
  });

  const linkBranch = m.function('linkBranch', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const va = c.let(vcpu.load64(S.pageVa).add(op.load64(Op.imm)));
    c.store64(vcpu, va, S.rip);
    const host = c.let(c.call(paging.translate, vcpu, va, I32.of(Access.execute)));
    c.if(host.eqz(), () => leave(c, handlerType, vcpu, I32.of(0), Exit.Exception));
    const target = c.let(c.call(findBlock, vcpu, host));
    c.if(target.eqz(), () => c.return(I32.of(Exit.Decode)));
    c.store32(op, target, Op.disp);
    dispatchTo(c, handlerType, vcpu, target);
    c.unreachable();
  });

  const run = m.function('run', [i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const va = c.let(vcpu.load64(S.rip));
    // Only here an address may be none, and look like one of another generation.
    c.if(va.shl(16).shrS(16).ne(va), () => c.returnCall(jumpSlow, vcpu, va));
    c.returnCall(jump, vcpu, va, I32.of(0));
    c.unreachable();
  });

  const runOp = m.function('runOp', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    dispatchTo(c, handlerType, vcpu, c.param(i32, 1));
    c.unreachable();
  });

  return {
    handlerType,
    raise,
    raiseVector,
    leaveFault,
    leaveRegion,
    setVector,
    jump,
    jumpSlow,
    linkBranch,
    run,
    runOp,
  };
}

/** Whether the operation's address is one in the stack segment: base RSP or RBP, and no other segment's base. */
const usesStack = (base: I32, op: I32): I32 =>
  base
    .eq(S.gpr + 4 * 8)
    .or(base.eq(S.gpr + 5 * 8))
    .and(op.load16U(Op.segment).eq(S.zero));

/**
 * How a region is left, in one word, by the first bit of each part: the instruction's length in bytes; whether it addresses the stack; the exit's number, 0 for
 * the exception that stands in the state; instructions that the budget is to be charged for.
 */
export const Leaving = { length: 0, stack: 8, exit: 9, done: 16 } as const;

/** Length and use of the stack of an operation that is known at generation. */
export const leavingAt = (op: I32): I32 => op.load8U(Op.len).or(usesStack(op.load16U(Op.base), op).shl(Leaving.stack));

/** Leaves `run` with RIP at `va` when the budget is used up or somebody asked for an exit. */
export function checkpoint(c: Code, vcpu: I32, instructions: I32, va: I64): void {
  const left = c.let(vcpu.load32(S.budget).sub(instructions));
  c.store32(vcpu, left, S.budget);
  c.if(left.leS(0).or(vcpu.load32(S.exitRequest)), () => {
    c.store64(vcpu, va, S.rip);
    c.return(left.leS(0).select(I32.of(Exit.Budget), I32.of(Exit.Interrupt)));
  });
}

/** Knuth's multiplicative hash; `blockHashOf` is the same for JavaScript. */
const blockHash = (host: I32): I32 => host.mul(0x9e3779b1 | 0).shrU(32 - Math.log2(BlockTable.entries));
export const blockHashOf = (host: number): number =>
  Math.imul(host, 0x9e3779b1) >>> (32 - Math.log2(BlockTable.entries));
