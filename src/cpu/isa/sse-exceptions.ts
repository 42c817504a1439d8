import { Vector } from '../exits.ts';
import type { Semantics } from '../semantics.ts';
import { S } from '../state-layout.ts';
import { type I32, type I64, type V128, ValType } from '../wasm/value.ts';
import { callHelper, typed } from './sse-operands.ts';

const { i32, i64, v128 } = ValType;

/** After the computation, before the destination changes: MXCSR's flags, and #XM when one is unmasked. */
export function settle(u: Semantics): void {
  u.code.if(u.vcpu.load32(S.mxcsrPending), () => {
    u.raiseIf(u.code.call(typed(u.helper('sseSettle'), i32), u.vcpu), Vector.XM);
  });
}

/** Operands to result, for both shapes of an instruction. */
export function packed(u: Semantics, name: string, ...args: readonly V128[]): V128 {
  const r = callHelper(u, name, v128, u.vcpu, ...args);
  settle(u);
  return r;
}
export function scalar(u: Semantics, name: string, ...args: readonly (I64 | I32)[]): I64 {
  const r = callHelper(u, name, i64, u.vcpu, ...args);
  settle(u);
  return r;
}
