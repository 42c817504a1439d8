import type { Case, Outcome } from './case-codec.ts';
import { hexBytes } from './disassemble.ts';
import { CODE, Mode, REGIONS, STACK_TOP } from './layout.ts';
import { MachineState } from './machine-state.ts';
import { Random } from './random.ts';

/*
 * Any bytes are an instruction or #UD: random ones show whether both decoders agree about which, and about its length and its memory operand. One
 * instruction is executed, with TF set, so that what follows it does not matter.
 */
const TF = 0x100;

/** An encoding that must not run on the machine under the oracle, or does something else there than one comparable step. */
interface Excluded {
  readonly map: 0 | 1 | 2 | 3;
  readonly opcodes: readonly number[];
  /** Only with this ModRM.reg, or only with a register operand. */
  readonly digits?: readonly number[];
  readonly registerOnly?: boolean;
  readonly why: string;
}

const EXCLUDED: readonly Excluded[] = [
  { map: 0, opcodes: [0xcd, 0xf1, 0xcc], why: 'software interrupts' },
  { map: 0, opcodes: [0x17, 0x9d, 0xcf], why: 'changes TF or holds off the debug trap' },
  { map: 0, opcodes: [0x8e], digits: [2], why: 'holds off the debug trap' },
  { map: 0, opcodes: [0x9a, 0xea, 0xca, 0xcb, 0xc4, 0xc5, 0x07, 0x1f, 0x8e], why: 'selectors at random; VEX' },
  { map: 0, opcodes: [0xff], digits: [3, 5], why: 'selectors at random' },
  { map: 0, opcodes: [0x62], why: 'EVEX' },
  { map: 0, opcodes: [0xd6], why: 'SALC, which no manual has' },
  {
    map: 0,
    opcodes: [0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf],
    why: 'repeated: a debug trap for each round',
  },
  { map: 0, opcodes: [0xf4, 0xfa, 0xfb, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef], why: 'privileged: exits' },
  {
    map: 0,
    opcodes: [0xc2, 0xc3, 0xe0, 0xe1, 0xe2, 0xe3, 0xe8, 0xe9, 0xeb],
    why: '16-bit near branches differ between vendors',
  },
  {
    map: 0,
    opcodes: Array.from({ length: 16 }, (_, i) => 0x70 + i),
    why: '16-bit near branches differ between vendors',
  },
  { map: 0, opcodes: [0xff], digits: [2, 4], why: '16-bit near branches differ between vendors' },
  { map: 0, opcodes: [0x63], why: '16-bit MOVSXD differs between vendors' },
  {
    map: 1,
    opcodes: Array.from({ length: 16 }, (_, i) => 0x80 + i),
    why: '16-bit near branches differ between vendors',
  },
  {
    map: 1,
    opcodes: [0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x34, 0x35, 0x30, 0x32, 0x33],
    why: 'system instructions',
  },
  { map: 1, opcodes: [0x20, 0x21, 0x22, 0x23, 0xa1, 0xa9, 0xb2, 0xb4, 0xb5], why: 'system registers and selectors' },
  { map: 1, opcodes: [0x31, 0xa2, 0x0d, 0xc7], why: 'time, identification, random numbers, PREFETCHW' },
  {
    map: 1,
    opcodes: [0x0b, 0xb9, 0xff, 0x0f, 0xaa, 0x24, 0x25, 0x26, 0x27],
    why: 'never valid; its length is no one’s business',
  },
  { map: 1, opcodes: [0xae], why: 'XSAVE and its relatives' },
  { map: 1, opcodes: [0x78, 0x79, 0x2b], why: 'SSE4a' },
  { map: 2, opcodes: [0xcf, 0x82, 0xf5, 0xf6, 0xf8, 0xf9], why: 'GFNI and shadow stacks' },
  { map: 3, opcodes: [0xce, 0xcf], why: 'GFNI' },
];

const PREFIXES64 = [
  0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x40, 0x41, 0x44, 0x48, 0x4f,
] as const;
// No CS: a store through it is refused, by a segment check that our flat model does not make.
const PREFIXES32 = [0x66, 0xf2, 0xf3, 0xf0, 0x26, 0x36, 0x3e] as const;

export interface Encoding extends Case {
  readonly map: number;
  readonly opcode: number;
}

const isPrefix = (byte: number, mode: Mode): boolean =>
  [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65].includes(byte) ||
  (mode === Mode.long64 && (byte & 0xf0) === 0x40);

/** One random instruction: a few prefixes, an opcode, and bytes that serve as ModRM, SIB, displacement and immediate. */
function makeEncoding(random: Random): Encoding | undefined {
  const mode = random.chance(0.7) ? Mode.long64 : Mode.compat32;
  const code: number[] = [];
  const prefixes = random.pick([0, 0, 1, 1, 1, 2, 2, 3, 4]);
  for (let i = 0; i < prefixes; i++) code.push(random.pick(mode === Mode.long64 ? PREFIXES64 : PREFIXES32));
  const map = random.pick([0, 0, 0, 1, 1, 1, 2, 3] as const);
  const opcode = random.below(256);
  if (map === 0 && (isPrefix(opcode, mode) || opcode === 0x0f)) return undefined;
  if (map === 1 && (opcode === 0x38 || opcode === 0x3a)) return undefined;
  if (map > 0) code.push(0x0f);
  if (map === 2) code.push(0x38);
  if (map === 3) code.push(0x3a);
  code.push(opcode);
  const modrm = random.u32() & 0xff;
  const excluded = EXCLUDED.some(
    (e) =>
      e.map === map &&
      e.opcodes.includes(opcode) &&
      (e.digits === undefined || e.digits.includes((modrm >> 3) & 7)) &&
      (e.registerOnly !== true || modrm >= 0xc0),
  );
  if (excluded) return undefined;
  code.push(modrm);
  for (let i = 0; i < 12; i++) code.push(random.chance(0.5) ? 0 : random.u32() & 0xff);
  const before = MachineState.fresh(mode);
  before.rip = BigInt(CODE.start);
  before.rflags = 0x202 | TF;
  for (let i = 0; i < (mode === Mode.long64 ? 16 : 8); i++)
    before.setGpr(i, BigInt(REGIONS[0].at + 0x400 + 16 * random.below(16)));
  before.setGpr(1, BigInt(REGIONS[0].at + 0x403));
  before.setGpr(4, BigInt(STACK_TOP - 0x800));
  before.tags = 0x0f;
  return { mode, code: Uint8Array.from(code), before, patches: [], branches: true, map, opcode };
}

export function makeEncodings(count: number, seed: number): Encoding[] {
  const random = new Random(seed, 'encodings');
  const cases: Encoding[] = [];
  while (cases.length < count) {
    const made = makeEncoding(random);
    if (made) cases.push(made);
  }
  return cases;
}

/** What kind of difference, or undefined: validity, length and exception are compared, not results. */
export function compareDecoding(c: Encoding, native: Outcome, ours: Outcome): string | undefined {
  const describe = (o: Outcome): string => {
    if (o.trap === 1) return `${o.after.rip - c.before.rip} bytes`;
    // The faulting address within the operand, and the error code, are for the tests of forms.
    return o.trap === 14 ? `#PF at ${(o.faultAddress & ~0xfffn).toString(16)}` : `vector ${o.trap}`;
  };
  // Where the harness lies an access may succeed natively.
  if (ours.trap === 14 && ours.faultAddress >= 0x6a5a_0000n && ours.faultAddress < 0x6a60_0000n) return undefined;
  const [a, b] = [describe(native), describe(ours)];
  return a === b
    ? undefined
    : `${['', '0F ', '0F 38 ', '0F 3A '][c.map]}${hexBytes(Uint8Array.of(c.opcode))}: processor ${a}, ours ${b}`;
}
