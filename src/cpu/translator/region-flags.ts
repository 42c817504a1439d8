import { type Code, type Fn, type Variable } from '../wasm/code.ts';
import { I32, I64, Value, ValType } from '../wasm/value.ts';
import { Aux, auxOfCarries, Flags, signExtend } from '../flags.ts';
import { FlagKind, STEP, syncOperation } from '../flag-kinds.ts';

/**
 * What the status flags are at a point of the code, as far as that is known when the code is generated. They are computed where somebody reads them, and in
 * the cold paths that leave the region.
 */
export type Recipe =
  /** The vCPU's state has them. */
  | { readonly kind: 'memory' }
  /** Which operation they come from is known only when the code runs: it stands in the three locals. */
  | { readonly kind: 'dynamic' }
  | { readonly kind: 'image'; readonly image: I32 }
  | Overlay
  | Computed;

/** As in the state or the locals, but for CF or CF and OF: what BT and the rotates leave, which the next operation mostly replaces as a whole. */
interface Overlay {
  readonly kind: 'overlay';
  readonly base: Exclude<Recipe, Overlay | Computed>;
  readonly carry: I32;
  readonly overflow?: I32;
}

interface Computed {
  readonly kind: 'add' | 'sub' | 'logic' | 'explicit';
  readonly bits: number;
  readonly result: I64;
  readonly a?: I64;
  readonly b?: I64;
  /** A carry or borrow came in: CF is no plain comparison. */
  readonly carried?: boolean;
  /** In place of what the operation gives. */
  readonly carry?: I32;
  /** CF is that of another operation, known only when the code runs. */
  readonly carryFrom?: Triple;
  readonly overflow?: I32;
  readonly adjust?: I32;
}

/** An operation of `FlagKind`, its result, and one more value. */
interface Triple {
  readonly operation: I32;
  readonly result: I64;
  readonly source: I64;
}
const NONE: Triple = { operation: I32.of(0), result: I64.of(0), source: I64.of(0) };

export const IN_MEMORY: Recipe = { kind: 'memory' };
export const DYNAMIC: Recipe = { kind: 'dynamic' };

/** The locals of dynamic flags. The second three tell where CF comes from when the operation is INC or DEC. */
export interface FlagLocals {
  readonly flags: TripleLocals;
  readonly carry: TripleLocals;
}
interface TripleLocals {
  readonly operation: Variable<I32>;
  readonly result: Variable<I64>;
  readonly source: Variable<I64>;
}
const current = ({ operation, result, source }: TripleLocals): Triple => ({
  operation: operation.get,
  result: result.get,
  source: source.get,
});
function assign(locals: TripleLocals, { operation, result, source }: Triple): void {
  locals.operation.set(operation);
  locals.result.set(result);
  locals.source.set(source);
}

/** Helpers: (vcpu, operation, result, source, and the same three of what CF comes from), and (vcpu, operation, result, source) → CF. */
export interface FlagServices {
  readonly sync: Fn;
  readonly carryOf: Fn<typeof ValType.i32>;
}

/** Lazy flags of a translated region. */
export class RegionFlags extends Flags {
  recipe: Recipe = IN_MEMORY;
  /** Definitions that set flags in loops work on the state itself. */
  direct = false;
  readonly #locals: FlagLocals;
  readonly #services: FlagServices;
  /** Depth of straight-line code: what happens deeper happens only sometimes. */
  #level: number;

  constructor(code: Code, vcpu: I32, locals: FlagLocals, services: FlagServices) {
    super(code, vcpu);
    this.#locals = locals;
    this.#services = services;
    this.#level = code.depth;
  }

  /** Straight-line code goes on at a depth. */
  enter(recipe: Recipe, level: number): void {
    this.recipe = recipe;
    this.#level = level;
  }

  // ---- what instructions do ----

  override add(bits: number, a: I64, b: I64, result: I64, carried = false): void {
    if (this.direct) super.add(bits, a, b, result, carried);
    else this.#become({ kind: 'add', bits, ...this.#fix({ a, b, result }), carried });
  }

  override sub(bits: number, a: I64, b: I64, result: I64, borrowed = false): void {
    if (this.direct) super.sub(bits, a, b, result, borrowed);
    else this.#become({ kind: 'sub', bits, ...this.#fix({ a, b, result }), carried: borrowed });
  }

  override logic(bits: number, result: I64): void {
    if (this.direct) super.logic(bits, result);
    else this.#become({ kind: 'logic', bits, result: this.code.let(result) });
  }

  override explicit(bits: number, result: I64, carry: I32, overflow: I32, adjust?: I32): void {
    if (this.direct) return super.explicit(bits, result, carry, overflow, adjust);
    this.#become({
      kind: 'explicit',
      bits,
      result: this.code.let(result),
      carry: this.code.let(carry),
      overflow: this.code.let(overflow),
      ...(adjust ? { adjust: this.code.let(adjust) } : {}),
    });
  }

  override step(bits: number, by: 1 | -1, a: I64, result: I64): void {
    const { recipe } = this;
    const carryFrom =
      this.direct || recipe.kind === 'memory' || recipe.kind === 'image' || recipe.kind === 'overlay'
        ? undefined
        : recipe.kind === 'dynamic'
          ? this.#carrySource()
          : recipe.carryFrom;
    if (!carryFrom) return super.step(bits, by, a, result);
    this.#become({ kind: by === 1 ? 'add' : 'sub', bits, ...this.#fix({ a, b: I64.of(1), result }), carryFrom });
  }

  /** What CF comes from when that is known only at run time: where the flags do, or where an INC or DEC said. */
  #carrySource(): Triple {
    const { flags, carry } = this.#locals;
    const stepped = this.code.let(flags.operation.get.and(STEP).ne(0));
    return {
      operation: this.code.let(stepped.select(carry.operation.get, flags.operation.get)),
      result: this.code.let(stepped.select(carry.result.get, flags.result.get)),
      source: this.code.let(stepped.select(carry.source.get, flags.source.get)),
    };
  }

  override setCarry(carry: I32): void {
    const { recipe } = this;
    if (this.direct) return super.setCarry(carry);
    const cf = this.code.let(carry);
    switch (recipe.kind) {
      case 'memory':
      case 'dynamic':
      case 'image':
        return this.#become({ kind: 'overlay', base: recipe, carry: cf });
      case 'overlay':
        return this.#become({ ...recipe, carry: cf });
      default: {
        // OF is that of before, whatever CF was.
        const { carryFrom: _, ...rest } = recipe;
        this.#become({ ...rest, carry: cf });
      }
    }
  }

  override setCarryOverflow(carry: I32, overflow: I32): void {
    const { recipe } = this;
    if (this.direct) return super.setCarryOverflow(carry, overflow);
    const both = { carry: this.code.let(carry), overflow: this.code.let(overflow) };
    switch (recipe.kind) {
      case 'memory':
      case 'dynamic':
      case 'image':
        return this.#become({ kind: 'overlay', base: recipe, ...both });
      case 'overlay':
        return this.#become({ ...recipe, ...both });
      default: {
        const { carryFrom: _, ...rest } = recipe;
        this.#become({ ...rest, ...both });
      }
    }
  }

  override setStatus(image: I32): void {
    if (this.direct) super.setStatus(image);
    else this.#become({ kind: 'image', image: this.code.let(image) });
  }

  override setZero(zero: I32): void {
    const image = this.status().and(~0x40).or(zero.shl(6));
    this.setStatus(image);
  }

  override when(condition: I32, set: () => void): void {
    if (condition.known !== undefined || this.direct) return super.when(condition, set);
    this.toDynamic();
    const level = this.#level;
    this.code.if(condition, () => {
      this.enter(DYNAMIC, this.code.depth);
      set();
      this.toDynamic();
    });
    this.#level = level;
    this.recipe = DYNAMIC;
  }

  #fix<T extends Record<string, I64>>(values: T): T {
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, this.code.let(value)])) as T;
  }

  #become(recipe: Recipe): void {
    if (this.code.depth !== this.#level) throw new Error('flags are set under a condition: say so with `when`');
    this.recipe = recipe;
  }

  // ---- reading ----

  override carry(): I32 {
    if (!this.direct && this.recipe.kind === 'overlay') return this.recipe.carry;
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.and(1);
      case 'memory':
        return super.carry();
      default:
        return recipe.carryFrom ? this.#carryFrom(recipe.carryFrom) : carryOf(recipe);
    }
  }

  override overflow(): I32 {
    if (!this.direct && this.recipe.kind === 'overlay' && this.recipe.overflow) return this.recipe.overflow;
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.shrU(11).and(1);
      case 'memory':
        return super.overflow();
      default:
        return overflowOf(recipe);
    }
  }

  override adjust(): I32 {
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.shrU(4).and(1);
      case 'memory':
        return super.adjust();
      default:
        return adjustOf(recipe);
    }
  }

  override zero(): I32 {
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.shrU(6).and(1);
      case 'memory':
        return super.zero();
      default:
        return recipe.result.eqz();
    }
  }

  override sign(): I32 {
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.shrU(7).and(1);
      case 'memory':
        return super.sign();
      default:
        return topBit(recipe.bits, recipe.result);
    }
  }

  override parity(): I32 {
    const recipe = this.#readable();
    switch (recipe.kind) {
      case 'image':
        return recipe.image.shrU(2).and(1);
      case 'memory':
        return super.parity();
      default:
        return recipe.result.wrap().and(0xff).popcnt().and(1).xor(1);
    }
  }

  override condition(cc: number): I32 {
    const pair = cc >> 1;
    if (!this.direct && this.recipe.kind === 'overlay' && pair === 1)
      return (cc & 1) === 0 ? this.recipe.carry : this.recipe.carry.eqz();
    const recipe = this.#readable();
    if (recipe.kind === 'sub' || recipe.kind === 'logic' || recipe.kind === 'add') {
      const { bits, result, a, b } = recipe;
      // CF and OF may be another's; an addition is no comparison.
      const usesCarry = pair === 1 || pair === 3;
      const usesOverflow = pair === 0 || pair >= 6;
      const plain =
        !(usesCarry && (recipe.carry !== undefined || recipe.carryFrom !== undefined || recipe.carried === true)) &&
        !(usesOverflow && (recipe.overflow !== undefined || recipe.carried === true)) &&
        (recipe.kind !== 'add' || pair === 2 || pair === 4);
      const direct = plain
        ? directCondition(
            recipe.kind === 'sub' && a && b && recipe.carried !== true ? { bits, a, b, result } : { bits, result },
            pair,
          )
        : undefined;
      if (direct) return (cc & 1) === 0 ? direct : direct.eqz();
    }
    const positive = super.condition(cc & ~1);
    return (cc & 1) === 0 ? positive : positive.eqz();
  }

  /** What is known only at run time is worked out first. */
  #readable(): Exclude<Recipe, { kind: 'dynamic' } | Overlay> {
    if (this.direct) return { kind: 'memory' };
    const { recipe } = this;
    if (recipe.kind !== 'dynamic' && recipe.kind !== 'overlay') return recipe;
    this.#emitSync(recipe);
    // In code that runs only sometimes the locals stay what counts.
    if (this.code.depth === this.#level) this.recipe = IN_MEMORY;
    return { kind: 'memory' };
  }

  /** What the recipe is made of. */
  *values(): Iterable<Value> {
    yield* valuesOf(this.recipe);
  }

  // ---- leaving ----

  /** Writes the flags into the state; `recipe` says so from now on. */
  toMemory(): void {
    this.#emitSync(this.recipe);
    this.recipe = IN_MEMORY;
  }

  /** Writes the flags into the state in a path that leaves: without a call where that is short, as such paths may be hot. */
  spill(): void {
    const { recipe } = this;
    if (!isPlain(recipe)) return this.#emitSync(recipe);
    const { kind, bits, result, a, b } = recipe;
    if (kind === 'logic') super.logic(bits, result);
    else if (a && b && kind === 'add') super.add(bits, a, b, result);
    else if (a && b && kind === 'sub') super.sub(bits, a, b, result);
    else this.#emitSync(recipe);
  }

  /** Puts the flags into the locals, for code that several paths lead to. */
  toDynamic(): void {
    if (this.recipe.kind === 'overlay') this.toMemory();
    const { recipe } = this;
    if (recipe.kind !== 'dynamic' && recipe.kind !== 'overlay') {
      const { flags, carry } = this.#triples(recipe);
      assign(this.#locals.flags, flags);
      if (carry) assign(this.#locals.carry, carry);
    }
    this.recipe = DYNAMIC;
  }

  /** Puts the flags into the locals in a path that leaves. */
  leave(): void {
    const { recipe } = this;
    this.toDynamic();
    this.recipe = recipe;
  }

  /** In the paths that have left, all together: the flags from the locals into the state. */
  left(): void {
    this.#emitSync(DYNAMIC);
  }

  #carryFrom({ operation, result, source }: Triple): I32 {
    return this.code.let(this.code.call(this.#services.carryOf, this.vcpu, operation, result, source));
  }

  #emitSync(recipe: Recipe): void {
    if (recipe.kind === 'memory') return;
    if (recipe.kind === 'overlay') {
      this.#emitSync(recipe.base);
      // The state has the others now.
      const { direct } = this;
      this.direct = true;
      if (recipe.overflow) super.setCarryOverflow(recipe.carry, recipe.overflow);
      else super.setCarry(recipe.carry);
      this.direct = direct;
      return;
    }
    const { flags, carry = NONE } =
      recipe.kind === 'dynamic'
        ? { flags: current(this.#locals.flags), carry: current(this.#locals.carry) }
        : this.#triples(recipe);
    const all = [flags, carry].flatMap(({ operation, result, source }) => [operation, result, source]);
    this.code.do(this.#services.sync, this.vcpu, ...all);
  }

  /** The operation, and what CF comes from where that is another. */
  #triples(recipe: Exclude<Recipe, { kind: 'dynamic' } | Overlay>): {
    readonly flags: Triple;
    readonly carry?: Triple;
  } {
    const of = (kind: number, bits: number, result: I64, source: I64): Triple => ({
      operation: I32.of(syncOperation(kind, bits)),
      result,
      source,
    });
    if (recipe.kind === 'memory') return { flags: NONE };
    if (recipe.kind === 'image') return { flags: of(FlagKind.image, 64, I64.of(0), recipe.image.extendU()) };
    const { kind, bits, result, b, carry, carryFrom, overflow, adjust, carried } = recipe;
    const whole = overflow === undefined && adjust === undefined && carried !== true;
    if (whole && carry === undefined && carryFrom === undefined) {
      if (kind === 'logic') return { flags: of(FlagKind.logic, bits, result, I64.of(0)) };
      if (b && kind === 'add') return { flags: of(FlagKind.add, bits, result, b) };
      if (b && kind === 'sub') return { flags: of(FlagKind.sub, bits, result, b) };
    }
    if (whole && b?.known === 1n && (kind === 'add' || kind === 'sub')) {
      const flags = of(kind === 'add' ? FlagKind.increment : FlagKind.decrement, bits, result, I64.of(0));
      if (carryFrom) return { flags, carry: carryFrom };
      if (carry) return { flags, carry: of(FlagKind.image, 64, I64.of(0), carry.extendU()) };
    }
    const known: Computed = carryFrom ? { ...recipe, carry: this.#carryFrom(carryFrom) } : recipe;
    return { flags: of(FlagKind.aux, bits, result, auxOf(this.code, known).extendU()) };
  }
}

/** All flags are those of the operation. */
const isPlain = (recipe: Recipe): recipe is Computed =>
  (recipe.kind === 'logic' || recipe.kind === 'add' || recipe.kind === 'sub') &&
  recipe.carry === undefined &&
  recipe.carryFrom === undefined &&
  recipe.overflow === undefined &&
  recipe.adjust === undefined;

/** Recipes and triples are made of values and of each other. */
function* valuesOf(part: object): Iterable<Value> {
  for (const value of Object.values(part)) {
    if (value instanceof Value) yield value;
    else if (typeof value === 'object' && value !== null) yield* valuesOf(value as object);
  }
}

/** A subtraction (a - b), or a logic operation, which has no operands here and clears CF and OF. */
interface Origin {
  readonly bits: number;
  readonly a?: I64;
  readonly b?: I64;
  readonly result: I64;
}

/** Conditions as comparisons; undefined where the flags themselves are simpler. */
function directCondition({ bits, a, b, result }: Origin, pair: number): I32 | undefined {
  const signed = (value: I64): I64 => signExtend(bits, value);
  if (a && b) {
    const comparisons = [
      undefined,
      () => a.ltU(b),
      () => a.eq(b),
      () => a.leU(b),
      () => signed(result).ltS(0),
      undefined,
      () => signed(a).ltS(signed(b)),
      () => signed(a).leS(signed(b)),
    ];
    return comparisons[pair]?.();
  }
  const againstZero = [
    undefined,
    undefined,
    () => result.eqz(),
    () => result.eqz(),
    () => signed(result).ltS(0),
    undefined,
    () => signed(result).ltS(0),
    () => signed(result).leS(0),
  ];
  return againstZero[pair]?.();
}

const topBit = (bits: number, value: I64): I32 =>
  value
    .shrU(bits - 1)
    .wrap()
    .and(1);

function carryOf(r: Computed): I32 {
  if (r.carry) return r.carry;
  if (r.kind === 'logic' || !r.a || !r.b) return I32.of(0);
  if (r.carried) return topBit(r.bits, carriesOf(r.kind === 'sub', r.a, r.b, r.result));
  return r.kind === 'sub' ? r.a.ltU(r.b) : r.result.ltU(r.a);
}

function overflowOf(r: Computed): I32 {
  if (r.overflow) return r.overflow;
  if (r.kind === 'logic' || !r.a || !r.b) return I32.of(0);
  const first = r.kind === 'sub' ? r.a.xor(r.b) : r.b.xor(r.result);
  return topBit(r.bits, first.and(r.a.xor(r.result)));
}

function adjustOf(r: Computed): I32 {
  if (r.adjust) return r.adjust;
  if (r.kind === 'logic' || !r.a || !r.b) return I32.of(0);
  return r.a.xor(r.b).xor(r.result).wrap().shrU(4).and(1);
}

const carriesOf = (sub: boolean, a: I64, b: I64, result: I64): I64 =>
  sub ? a.not().and(b).or(a.not().or(b).and(result)) : a.and(b).or(a.or(b).and(result.not()));

/** The state's `flagAux` word. */
function auxOf(code: Code, r: Computed): I32 {
  if (r.a && r.b && !r.carry && !r.overflow && !r.adjust)
    return auxOfCarries(r.bits, code.let(carriesOf(r.kind === 'sub', r.a, r.b, r.result)));
  const carry = code.let(carryOf(r));
  const aux = carry.shl(Aux.CF).or(carry.xor(overflowOf(r)).shl(Aux.PO));
  return aux.or(adjustOf(r).shl(Aux.AF));
}

const tripleLocals = (code: Code): TripleLocals => ({
  operation: code.variable(ValType.i32),
  result: code.variable(ValType.i64),
  source: code.variable(ValType.i64),
});
export const flagLocals = (code: Code): FlagLocals => ({ flags: tripleLocals(code), carry: tripleLocals(code) });
