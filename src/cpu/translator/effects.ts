import { buildHandler, type Handler } from '../instruction-set.ts';
import type { Services } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { Code } from '../wasm/code.ts';
import { ValType } from '../wasm/value.ts';
import { KnownOperation } from './known-operation.ts';
import { RegionFrame } from './region-frame.ts';
import { RegionSemantics } from './region-semantics.ts';

/** Registers that no instruction uses by itself: what is written to them stands for an operand. */
const STAND_INS = [13, 14, 15] as const;
const FIELDS = [Op.a, Op.b, Op.c] as const;

interface Effect {
  /** General registers that every use writes. */
  readonly fixed: number;
  /** Fields of the operation that name one that is written. */
  readonly fields: readonly number[];
}

/** Which general registers an instruction may write: found by having its definition write into a function that nobody will run. */
export class Effects {
  readonly #services: Services;
  readonly #known = new Map<number, Effect>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** Bit n: register n may be written. */
  written(index: number, handler: Handler, ops: DataView, op: number): number {
    let effect = this.#known.get(index);
    if (!effect) {
      effect = this.#observe(handler);
      this.#known.set(index, effect);
    }
    let mask = effect.fixed;
    for (const field of effect.fields) mask |= 1 << ((ops.getUint16(op + field, true) - S.gpr) >> 3);
    return mask;
  }

  #observe(handler: Handler): Effect {
    const ops = new DataView(new ArrayBuffer(2 * Op.size));
    for (const field of [Op.base, Op.index, Op.segment]) ops.setUint16(field, S.zero, true);
    for (const [i, field] of FIELDS.entries()) ops.setUint16(field, S.gpr + (STAND_INS[i] ?? 0) * 8, true);
    ops.setUint8(Op.len, 1);
    ops.setUint32(Op.imm, 1, true);
    const frame = new RegionFrame(new Code([ValType.i32, ValType.i32]), this.#services);
    frame.begin();
    frame.flags.direct = handler.instruction.flagsInLoop === true;
    const u = new RegionSemantics(frame, handler.variant, handler.operands, new KnownOperation(ops, 0, 0), {
      at: 0,
      before: 0,
      taken: undefined,
      next: undefined,
      returns: undefined,
    });
    buildHandler(u, handler);
    const fields = FIELDS.filter((_, i) => (frame.dirty & (1 << (STAND_INS[i] ?? 0))) !== 0);
    return { fixed: frame.dirty & ~STAND_INS.reduce((mask, n) => mask | (1 << n), 0), fields };
  }
}
