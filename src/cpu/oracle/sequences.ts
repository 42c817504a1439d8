import { parseForm } from '../form.ts';
import type { Case, Piece } from './case-codec.ts';
import { encode } from './encoder.ts';
import { CODE, imageOffset, Mode, REGIONS } from './layout.ts';
import { MachineState } from './machine-state.ts';
import { Random } from './random.ts';
import { type FormSample, isBranch, memorySize } from './form-samples.ts';
import { fillOperand, fillState, makeImmediates, register, type Sample } from './samples.ts';
import { APPROXIMATE, TRANSCENDENTAL, undefinedMemory, undefinedOf } from './undefined-flags.ts';
import { fillVector } from './values.ts';

/*
 * Several instructions in a row: what one leaves in the flags or in a register the next one finds, blocks are entered, left, looped and linked. A
 * sequence has no undefined result that a later instruction could see: the only undefined flag it may leave is AF, and nothing in it reads AF.
 */
const AF = 0x10;
const READS_AF = /^(LAHF|PUSHF|PUSHFD|PUSHFQ|DAA|DAS|AAA|AAS)/;
const UNFIT =
  /^(mov(From|To)[CD]r|cli|sti|hlt|rdmsr|wrmsr|clts|wbinvd|invd|lldt|ltr|lgdt|lidt|lmsw|invlpg|IN$|OUT$|UD$|PUSHA|POPA|POP_|DIV|IDIV|AAM|ENTER|LEAVE|POPF|POPFD|POPFQ|SAHF|STD|CLD|LES|LDS|LSS|LFS|LGS|BOUND|LAR|LSL|VERR|VERW|ARPL|INT|INT3|INTO|HLT|LDMXCSR|FXRSTOR|CMPXCHG|XLAT|MASKMOV|WRFSBASE|WRGSBASE|(MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)[BWDQ]?)/;

/** The forms that may be part of a sequence. */
export function fitsSequence(s: FormSample): boolean {
  if (
    isBranch(s) ||
    s.repeat !== 0 ||
    READS_AF.test(s.name) ||
    UNFIT.test(s.name) ||
    APPROXIMATE.test(s.name) ||
    TRANSCENDENTAL.test(s.name)
  )
    return false;
  if (s.form.map === 0 && s.form.opcode >= 0xd8 && s.form.opcode <= 0xdf) return false;
  return !s.form.operands.some((o) => 'SCDOX'.includes(o.letter) || (o.letter === 'fixed' && o.register === 1));
}

const SEQUENCE: Record<Mode, FormSample> = {
  [Mode.long64]: pseudo(Mode.long64),
  [Mode.compat32]: pseudo(Mode.compat32),
};

function pseudo(mode: Mode): FormSample {
  const row = { name: 'SEQUENCE', text: '90', lock: false, rep: false };
  return {
    name: row.name,
    row,
    form: parseForm(row.text),
    mode,
    width: 32,
    mod: 'r',
    lock: false,
    repeat: 0,
    title: `sequence${mode === Mode.compat32 ? ' compat' : ''}`,
  };
}

/** A case that is no sample of a form, for comparison. */
export function asSample(c: Case, undefinedFlags = 0): Sample {
  return {
    ...c,
    of: SEQUENCE[c.mode],
    immediates: [],
    target: undefined,
    size: 0,
    undefined: { flags: undefinedFlags, status: 0 },
  };
}

const DATA = REGIONS[0];
const COUNTER_AT = DATA.at + 0x40;

/** One instruction at `at`: its bytes and the memory it wants. */
function instruction(
  random: Random,
  of: FormSample,
  state: MachineState,
  at: number,
): { code: Uint8Array; patches: Piece[]; undefinedFlags: number } | undefined {
  const { form, mode, width } = of;
  const size = memorySize(form, of.name, width);
  const immediates = makeImmediates(random, of);
  const patches: Piece[] = [];
  const va = DATA.at + 0x100 + 16 * random.below(64) + (size <= 8 && random.chance(0.3) ? random.below(16) : 0);
  if (of.mod === 'm') {
    const offset = imageOffset(va) ?? 0;
    const bytes = new Uint8Array(size);
    fillOperand(random, of, bytes);
    if (random.chance(0.5)) patches.push({ at: offset, bytes });
  }
  // Below 4 GiB a stack that wraps around meets a segment limit, which we do not check.
  const notStack = (n: number): number => (n === 4 && (mode === Mode.compat32 || random.chance(0.9)) ? 0 : n);
  const mmx = form.operands.some((o) => 'QN'.includes(o.letter));
  const reg = form.operands.some((o) => o.letter === 'P') ? random.below(8) : notStack(register(random, mode));
  const code = encode(form, {
    mode,
    width,
    addressSize: mode === Mode.long64 ? 64 : 32,
    rm:
      of.mod === 'm'
        ? { base: -1, index: -1, scale: 0, disp: va }
        : mmx
          ? random.below(8)
          : notStack(register(random, mode)),
    reg,
    low: notStack(random.below(form.exactCount > 1 || mode === Mode.compat32 ? 8 : 16)),
    vvvv: form.operands.some((o) => o.letter === 'B') ? notStack(register(random, mode)) : 0,
    immediates,
    rex: random.chance(0.2),
    segment: undefined,
    lock: of.lock,
    repeat: 0,
    at,
  });
  const sample: Sample = { of, mode, code, before: state, patches, immediates, target: BigInt(va), size };
  const { flags } = undefinedOf(sample);
  if ((flags & ~AF) !== 0 || undefinedMemory(sample).length > 0) return undefined;
  return { code, patches, undefinedFlags: flags };
}

/** A sequence of up to `length` instructions from `pool`, all of one mode, with forward branches, and a loop around it every other time. */
function makeSequence(pool: readonly FormSample[], mode: Mode, length: number, random: Random): Sample {
  const of = SEQUENCE[mode];
  const state = MachineState.fresh(mode);
  fillState(random, state, of);
  for (let i = 0; i < 16; i++) fillVector(random, random.pick(['int', 'f32', 'f64']), state.xmm(i));
  state.rflags &= ~0x400;
  const code: number[] = [];
  const patches: Piece[] = [];
  let undefinedFlags = 0;
  for (let tries = 0, count = 0; count < length && tries < 4 * length; tries++) {
    const made = instruction(random, random.pick(pool), state, CODE.start + code.length);
    if (!made) continue;
    count++;
    if (random.chance(0.2)) code.push(0x70 | random.below(16), made.code.length);
    code.push(...made.code);
    patches.push(...made.patches);
    undefinedFlags |= made.undefinedFlags;
  }
  if (random.chance(0.5)) {
    // sub dword [counter], 1; jnz to the beginning
    code.push(...(mode === Mode.long64 ? [0x83, 0x2c, 0x25] : [0x83, 0x2d]), ...le32(COUNTER_AT), 1, 0x0f, 0x85);
    code.push(...le32(-(code.length + 4)));
    patches.push({ at: imageOffset(COUNTER_AT) ?? 0, bytes: Uint8Array.of(random.between(1, 20), 0, 0, 0) });
  }
  state.rip = BigInt(CODE.start);
  return {
    of,
    mode,
    code: Uint8Array.from(code),
    before: state,
    patches,
    immediates: [],
    target: undefined,
    size: 0,
    undefined: { flags: undefinedFlags, status: 0 },
  };
}

const le32 = (n: number): number[] => [n & 0xff, (n >> 8) & 0xff, (n >> 16) & 0xff, (n >> 24) & 0xff];

export function makeSequences(samples: readonly FormSample[], count: number, seed: number): Sample[] {
  const fit = samples.filter(fitsSequence);
  const pools = [fit.filter((s) => s.mode === Mode.long64), fit.filter((s) => s.mode === Mode.compat32)];
  const random = new Random(seed, 'sequences');
  return Array.from({ length: count }, () => {
    const mode = random.chance(0.8) ? Mode.long64 : Mode.compat32;
    return makeSequence(pools[mode] ?? [], mode, random.between(2, 24), random);
  });
}
