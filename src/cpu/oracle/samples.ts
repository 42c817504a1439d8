import { type Form, sizeOf } from '../form.ts';
import { chooseTarget, placeOperand } from './addressing.ts';
import type { Case, Piece } from './case-codec.ts';
import { type Choices, encode } from './encoder.ts';
import { type Draft, patch } from './draft.ts';
import { hintsFor } from './hints.ts';
import { type FormSample, isBranch, memorySize } from './form-samples.ts';
import { CODE, Mode } from './layout.ts';
import { MachineState } from './machine-state.ts';
import { Random } from './random.ts';
import type { Undefined } from './undefined-flags.ts';
import { fillInteger, fillValue, fillVector, type Kind } from './values.ts';

/** A case with what the comparison must know of its making. */
export interface Sample extends Case {
  readonly of: FormSample;
  readonly immediates: readonly bigint[];
  /** Linear address and size of the memory operand. */
  readonly target: bigint | undefined;
  readonly size: number;
  /** What is undefined after it, when that does not follow from `of`. */
  readonly undefined?: Undefined;
}

/** Which kind of number an operand of this instruction holds. */
function kindsFor(name: string, form: Form, size: number): readonly Kind[] {
  if (form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) {
    if (/^F(I|N|LDCW|LDENV|RSTOR)/.test(name) && !/^FIN/.test(name)) return ['int'];
    if (/^FB/.test(name)) return ['bcd'];
    return size === 10 ? ['f80'] : size === 4 ? ['f32', 'f32', 'int'] : ['f64', 'f64', 'int'];
  }
  const sse = form.operands.some((o) => 'VWU'.includes(o.letter));
  if (!sse) return ['int'];
  if (/(PS|SS|PS2\w+|SS2\w+)$/.test(name) || /^CVTT?[PS]S2/.test(name)) return ['f32', 'f32', 'f32', 'f64', 'int'];
  if (/(PD|SD)$/.test(name) || /^CVTT?[PS]D2/.test(name)) return ['f64', 'f64', 'f64', 'f32', 'int'];
  if (/^(P|MOV.*DQ)/.test(name)) return ['int', 'int', 'int', 'f64'];
  return ['int', 'f32', 'f64'];
}

export const usesFpu = (name: string, form: Form): boolean =>
  form.operands.some((o) => 'VWUPQN'.includes(o.letter) || o.letter === 'ST') ||
  (form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) ||
  /^(EMMS|FX|LDMXCSR|STMXCSR|MASKMOV|FWAIT|WAIT)/.test(name);

/** Registers, flags and FPU state before the case. */
export function fillState(random: Random, s: MachineState, sample: FormSample): void {
  const long = sample.mode === Mode.long64;
  for (let i = 0; i < (long ? 16 : 8); i++) {
    if (i === 4) continue;
    const to = s.bytes.subarray(8 * i, 8 * i + (long ? 8 : 4));
    fillInteger(random, to);
  }
  s.rflags = 0x202 | (random.u32() & 0x8d5) | (random.chance(0.1) ? 0x400 : 0);
  if (!usesFpu(sample.name, sample.form)) return;
  s.mxcsr =
    (random.chance(0.8) ? 0x1f80 : random.u32() & 0x1f80) |
    (random.below(4) << 13) |
    (random.chance(0.15) ? 0x8000 : 0) |
    (random.chance(0.15) ? 0x40 : 0) |
    (random.chance(0.3) ? random.u32() & 0x3f : 0);
  fillX87(random, s, sample);
  for (let i = 0; i < 16; i++) {
    const kind = random.pick(kindsFor(sample.name, sample.form, 8));
    fillVector(random, kind === 'f80' || kind === 'bcd' ? 'int' : kind, s.xmm(i));
  }
}

function fillX87(random: Random, s: MachineState, sample: FormSample): void {
  const masks = random.chance(0.8) ? 0x3f : random.u32() & 0x3f;
  const precision = random.pick([3, 3, 3, 2, 0, 1]);
  s.fcw = 0x40 | masks | (precision << 8) | (random.below(4) << 10) | (random.chance(0.1) ? 0x1000 : 0);
  const top = random.below(8);
  const sticky = random.chance(0.2) ? random.u32() & 0x7f : 0;
  // ES and B tell of an unmasked exception; FXRSTOR computes them anew.
  const pending = (sticky & ~masks & 0x3f) !== 0 ? (random.chance(0.5) ? 0x8080 : 0) : 0;
  s.fsw = (pending !== 0 ? sticky : sticky & (masks | 0x40)) | pending | (top << 11) | (random.u32() & 0x4700);
  s.tags = random.chance(0.6) ? 0xff : random.chance(0.5) ? random.u32() & 0xff : ((1 << random.below(8)) * 3) & 0xff;
  const mmx = sample.form.operands.some((o) => 'PQN'.includes(o.letter));
  for (let i = 0; i < 8; i++) {
    if (mmx && random.chance(0.7)) {
      fillVector(random, 'int', s.st(i).subarray(0, 8));
      s.st(i).fill(0xff, 8);
    } else if (random.chance(0.08)) fillInteger(random, s.st(i));
    else fillValue(random, 'f80', s.st(i));
  }
}

export function makeImmediates(random: Random, { form, width }: FormSample): bigint[] {
  const immediates: bigint[] = [];
  const bytes = new Uint8Array(8);
  for (const spec of form.operands) {
    if (spec.letter === 'I') {
      fillInteger(random, bytes);
      if (sizeOf(spec, width) === 8) bytes[0] = random.u32();
      immediates.push(new DataView(bytes.buffer).getBigInt64(0, true));
    } else if (spec.letter === 'J') immediates.push(branchDistance(random, sizeOf(spec, width)));
  }
  return immediates;
}

/** A random register: in 64-bit mode any of 16. */
export const register = (random: Random, mode: Mode): number => random.below(mode === Mode.long64 ? 16 : 8);

/** One case of a sample. */
export function makeCase(of: FormSample, random: Random): Sample {
  const { form, mode, width } = of;
  const state = MachineState.fresh(mode);
  fillState(random, state, of);
  const size = memorySize(form, of.name, width);
  const immediates = makeImmediates(random, of);
  const memory = of.mod === 'm' && (form.modrm || form.operands.some((o) => o.letter === 'O'));
  // Segment registers are six, control and debug registers sixteen; MMX has eight and ignores REX.
  const special = form.operands.find((o) => 'SPD'.includes(o.letter) || o.letter === 'C');
  const reg =
    special?.letter === 'P'
      ? random.below(8)
      : special?.letter === 'S'
        ? random.pick([0, 2, 3, 4, 5])
        : register(random, mode);
  const rm = form.operands.some((o) => 'QN'.includes(o.letter)) ? random.below(8) : register(random, mode);
  const patches: Piece[] = [];
  const draft: Draft = {
    random,
    state,
    mode,
    width,
    size: size || width / 8,
    patches,
    locked: new Set(),
    target: undefined,
    reg,
    rm: memory ? undefined : rm,
    low: random.below(form.exactCount > 1 ? 8 : mode === Mode.long64 ? 16 : 8),
    immediates,
    repeat: of.repeat,
  };
  const hints = hintsFor(of.name);
  for (const h of hints) h.prepare?.(draft);

  let address: Choices['rm'] = rm;
  let addressSize: Choices['addressSize'] = mode === Mode.long64 ? 64 : 32;
  let segment: number | undefined;
  if (memory) {
    const target = chooseTarget(random, size, mode);
    const operandBytes = new Uint8Array(size);
    fillOperand(random, of, operandBytes);
    patch(draft, BigInt.asIntN(64, target.va), operandBytes);
    draft.target = BigInt.asIntN(64, target.va);
    if (form.modrm) {
      const placed = placeOperand(random, state, target, mode, draft.locked);
      address = placed.address;
      addressSize = placed.addressSize;
      segment = placed.segment;
    } else if (mode === Mode.compat32 || (target.va < 0x1_0000_0000n && random.chance(0.2))) {
      addressSize = 32;
      immediates.push(target.va);
    } else immediates.push(target.va);
  } else if (of.row.rep || /^(XLAT|MASKMOV)/.test(of.name)) {
    if (random.chance(0.1) && mode === Mode.long64) addressSize = 32;
    if (random.chance(0.15)) {
      // A base that carries the source pointer elsewhere: into the same region, or nowhere.
      segment = random.pick([4, 5, 3, 0]);
      const base = random.pick([0n, 16n, 0x1000n]);
      if (segment === 4) state.fsBase = base;
      if (segment === 5) state.gsBase = base;
    }
  }
  for (const h of hints) h.finish?.(draft);

  const choices: Choices = {
    mode,
    width,
    addressSize,
    rm: address,
    reg: draft.reg,
    low: draft.low,
    // Where no operand is in VEX.vvvv it must be 1111b, which is register 0.
    vvvv: form.operands.some((o) => o.letter === 'B') || random.chance(0.05) ? register(random, mode) : 0,
    immediates,
    rex: random.chance(0.25),
    segment,
    lock: of.lock,
    repeat: of.repeat,
    at: CODE.start,
  };
  const code = encode(form, choices);
  const placed = placeCode(
    random,
    code,
    of.name === 'UD' || (memory && typeof address === 'object' && address.ripTarget !== undefined),
  );
  state.rip = BigInt(placed.at);
  return {
    of,
    mode,
    code: placed.code,
    before: state,
    patches,
    branches: isBranch(of),
    immediates,
    target: draft.target,
    size,
  };
}

/** Usually at the same place; sometimes across the two code pages, and now and then running into the unmapped page. */
function placeCode(random: Random, code: Uint8Array, fixed: boolean): { at: number; code: Uint8Array } {
  const choice = fixed ? 99 : random.below(100);
  if (choice < 3 && code.length > 1) return { at: CODE.at + 0x1000 - random.between(1, code.length - 1), code };
  if (choice === 3) {
    const kept = random.between(0, code.length);
    return { at: CODE.at + CODE.size - kept, code: code.slice(0, kept) };
  }
  return { at: CODE.start, code };
}

function branchDistance(random: Random, bits: number): bigint {
  // Not to itself: a loop without end takes long to recognise.
  if (bits === 8) return BigInt(random.chance(0.5) ? random.between(-128, -7) : random.between(-1, 127));
  if (random.chance(0.9)) return BigInt(random.between(-0x7e0, 0x17c0));
  return BigInt(random.pick([0x7fff_ffff, -0x8000_0000, random.u32() | 0]));
}

/** A value for the memory operand, of the kind that the instruction works with. */
export function fillOperand(random: Random, of: FormSample, to: Uint8Array): void {
  const kinds = kindsFor(of.name, of.form, to.length);
  const kind = random.pick(kinds);
  if (to.length === 10 || kind === 'f80' || kind === 'bcd') {
    to.fill(0);
    fillValue(random, kind, to);
  } else if (to.length <= 8) {
    if (kind === 'int' || to.length < 4 || (kind === 'f64' && to.length < 8)) fillInteger(random, to);
    else fillVector(random, kind, to);
  } else fillVector(random, kind, to);
}

/** `count` cases of a sample; the same for the same seed. */
export function makeCases(of: FormSample, count: number, seed: number): Sample[] {
  const random = new Random(seed, of.title);
  return Array.from({ length: count }, () => makeCase(of, random));
}
