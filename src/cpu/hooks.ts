/**
 * Hooks: functions that run in the place of an exit, so that what happens most goes on without leaving WebAssembly. Whoever uses the processor generates
 * them. A hook has a handler's type, (vcpu, operation or 0) → exit; the operation tells how many instructions the budget is still
 * to be charged for. The state is as the exit would have left it. It continues the guest with `resume`, or changes
 * nothing and returns the exit's number: `run` then returns as if there were no hook.
 */
import type { Code, Fn } from './wasm/code.ts';
import type { ModuleBuilder } from './wasm/module.ts';
import { F64, I32, type I64, ValType } from './wasm/value.ts';
import { Exit } from './exits.ts';
import { S, View } from './state-layout.ts';

const { i32, i64 } = ValType;

/** A hooks' module exports its functions under these names; where the state keeps each. */
export const hookExports: Readonly<Record<string, number>> = { syscall: S.hookSyscall, exception: S.hookException };

const hookOf: Partial<Record<Exit, number>> = { [Exit.Syscall]: S.hookSyscall, [Exit.Exception]: S.hookException };

/** Ends an operation with an exit, or with the hook in its place. */
export function leave(c: Code, handlerType: number, vcpu: I32, op: I32, exit: Exit): void {
  const at = hookOf[exit];
  if (at !== undefined) {
    const hook = c.let(vcpu.load32(at));
    c.if(hook, () => c.returnCallIndirect(handlerType, hook, vcpu, op));
  }
  c.return(I32.of(exit));
}

/** What hooks may call: the processor's own functions, see paging.ts, dispatch.ts and isa/internal.ts. */
export interface HookServices {
  /** (vcpu, va, access) → host address, or 0 on a fault */
  readonly translate: Fn<typeof i32>;
  /** (vcpu, va, bytes) → host address that may be written, or 0 on a fault; decoded operations of these bytes are stale from now on */
  readonly writeSlow: Fn<typeof i32>;
  /** (vcpu, va, instructions) → exit */
  readonly jump: Fn<typeof i32>;
  /** (vcpu) → RFLAGS */
  readonly readFlags: Fn<typeof i32>;
  /** (vcpu, RFLAGS) */
  readonly writeFlags: Fn<undefined>;
}

export function importHookServices(m: ModuleBuilder): HookServices {
  return {
    translate: m.import('translate', [i32, i64, i32], i32),
    writeSlow: m.import('writeSlow', [i32, i64, i32], i32),
    jump: m.import('jump', [i32, i64, i32], i32),
    readFlags: m.import('readFlags', [i32], i32),
    writeFlags: m.import('writeFlags', [i32, i32], undefined),
  };
}

/** A function of a hook's type. */
export const hookType = { params: [i32, i32], result: i32 } as const;

/** Makes a view the active one, as `Processor.setSpace` does. */
export function setSpace(c: Code, vcpu: I32, index: 0 | 1): void {
  const view = S.views + index * View.size;
  c.store32(vcpu, I32.of(index), S.space);
  c.store32(vcpu, vcpu.load32(view + View.tlb), S.tlb);
  c.store32(vcpu, vcpu.load32(view + View.jumpCache), S.jumpCache);
  c.store64(vcpu, vcpu.load64(view + View.jumpKey), S.jumpKey);
}

/** Instructions that a hook is charged for, so that a loop of them runs out of its budget in time. */
const COST = 16;

/** Continues at `va`, in the active view and mode. `instructions`: executed since the last checkpoint. */
export function resume(c: Code, services: HookServices, vcpu: I32, va: I64, instructions: I32): void {
  // They are no instructions of the guest's.
  c.store64(vcpu, vcpu.loadF64(S.retired).sub(F64.of(COST)).asI64(), S.retired);
  c.returnCall(services.jump, vcpu, va, instructions.add(COST));
}
