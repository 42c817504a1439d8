import { buildHandler, type Handler } from '../instruction-set.ts';
import type { Services } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { Code } from '../wasm/code.ts';
import { ValType } from '../wasm/value.ts';
import { KnownOperation } from './known-operation.ts';
import { gprBit, RegionFrame, xmmAt, xmmBit } from './region-frame.ts';
import { RegionSemantics } from './region-semantics.ts';

/** Registers that no instruction uses by itself: what is written to them stands for an operand. */
const STAND_INS = [13, 14, 15] as const;
const FIELDS = [Op.a, Op.b, Op.c] as const;

interface Effect {
  /** Registers that every use writes. */
  readonly fixed: number;
  /** Fields of the operation that name one that is written, by kind. */
  readonly gprs: readonly number[];
  readonly xmms: readonly number[];
}

/** Which registers an instruction may write: found by having its definition write into a function that nobody will run. */
export class Effects {
  readonly #services: Services;
  readonly #known = new Map<number, Effect>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** The set of registers that may be written. */
  written(index: number, handler: Handler, ops: DataView, op: number): number {
    let effect = this.#known.get(index);
    if (!effect) {
      effect = this.#observe(handler);
      this.#known.set(index, effect);
    }
    let mask = effect.fixed;
    for (const field of effect.gprs) mask |= gprBit((ops.getUint16(op + field, true) - S.gpr) >> 3);
    for (const field of effect.xmms) mask |= xmmBit(xmmAt(ops.getUint16(op + field, true)));
    return mask;
  }

  #observe(handler: Handler): Effect {
    const ops = new DataView(new ArrayBuffer(2 * Op.size));
    for (const field of [Op.base, Op.index, Op.segment]) ops.setUint16(field, S.zero, true);
    const operands = FIELDS.map((field, i) => {
      const kind = handler.operands.find((o) => o.position === i)?.kind;
      const standIn = STAND_INS[i] ?? 0;
      ops.setUint16(field, kind === 'x' ? S.xmm + standIn * 32 : S.gpr + standIn * 8, true);
      return { field, kind, bit: kind === 'x' ? xmmBit(standIn) : gprBit(standIn) };
    });
    ops.setUint8(Op.len, 1);
    ops.setUint32(Op.imm, 1, true);
    const frame = new RegionFrame(new Code([ValType.i32, ValType.i32]), this.#services, () => undefined);
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
    const written = (x: boolean): number[] =>
      operands.filter((o) => (o.kind === 'x') === x && (frame.dirty & o.bit) !== 0).map((o) => o.field);
    // Without such an operand the register is one that the instruction names itself.
    const standIns = operands.reduce((mask, o) => (o.kind === 'x' || o.kind === 'r' ? mask | o.bit : mask), 0);
    return { fixed: frame.dirty & ~standIns, gprs: written(false), xmms: written(true) };
  }
}
