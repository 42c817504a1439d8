import type { Code } from '../wasm/code.ts';
import { I32, type I64 } from '../wasm/value.ts';
import { checkpoint } from '../dispatch.ts';
import type { Flags } from '../flags.ts';
import { type Operand, Semantics, type Services, type Variant } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import type { KnownOperation } from './known-operation.ts';

/** Where a direct branch can go without leaving the region's function. */
export interface Labels {
  /** Continues at the block whose first instruction has this offset in the page; false when the region has none. */
  goTo(off: number): (() => void) | undefined;
}

/** The verbs of a definition inside a translated region: operands are constants, and the next operation is the code that follows. */
export class RegionSemantics extends Semantics {
  readonly #known: KnownOperation;
  readonly #labels: Labels;
  /** The instruction may have changed code, this region's too. */
  #stored = false;

  constructor(
    code: Code,
    variant: Variant,
    operands: readonly Operand[],
    services: Services,
    special: { op: KnownOperation; flags: Flags; labels: Labels },
  ) {
    super(code, variant, operands, services, special);
    this.#known = special.op;
    this.#labels = special.labels;
  }

  override writePointer(va: I64, bytes: number, write: (host: I32) => void): void {
    this.#stored = true;
    super.writePointer(va, bytes, write);
  }

  override next(): void {
    if (this.#stored) this.#leaveWhenChanged(() => this.nextRip());
  }

  override branch(): void {
    const target = this.#known.load64(Op.imm).known;
    const goTo = target === undefined || target < 0n || target >= 4096n ? undefined : this.#labels.goTo(Number(target));
    if (!goTo) return super.branch();
    if (this.#stored) this.#leaveWhenChanged(() => this.branchTarget());
    checkpoint(this.code, this.vcpu, this.#known.load16U(Op.c), this.branchTarget());
    goTo();
  }

  protected override link(): I32 {
    // It may be made after this code was.
    return I32.of(this.#known.at).load32(Op.disp);
  }

  /** A definition that ends every path needs nothing; another goes on in the code that follows. */
  override finish(): void {
    if (this.ended) this.code.unreachable();
    else this.next();
  }

  #leaveWhenChanged(to: () => I64): void {
    const leave = (): void => this.code.returnCall(this.dispatch.jumpSlow, this.vcpu, to());
    this.code.if(this.vcpu.load32(S.codeChanged), leave, undefined, 'unlikely');
  }
}
