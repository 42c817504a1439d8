import type { Operand } from './semantics.ts';

/** How an operand is encoded; letters of SDM Vol. 2D, Appendix A, "Key to Abbreviations", and Z for a register in the opcode's low bits. */
export type OperandLetter =
  | 'E'
  | 'G'
  | 'M'
  | 'R'
  | 'Z'
  | 'I'
  | 'J'
  | 'O'
  | 'B'
  | 'X'
  | 'S'
  | 'C'
  | 'D'
  | 'V'
  | 'W'
  | 'U'
  | 'P'
  | 'Q'
  | 'N'
  | 'ST'
  | 'fixed';

export interface OperandSpec {
  readonly letter: OperandLetter;
  /** Size code: a number of bits, or v (16/32/64), z (16/32/32), y (32/64). */
  readonly size: number | 'v' | 'z' | 'y';
  /** Register number of a fixed operand. */
  readonly register: number;
}

export interface Form {
  /** 0 one-byte opcodes, 1 0F, 2 0F38, 3 0F3A; with a VEX prefix 4 0F, 5 0F38, 6 0F3A */
  readonly map: number;
  readonly opcode: number;
  /** Mandatory prefix. NFx: neither F2 nor F3. */
  readonly prefix: 'any' | 'NP' | 'NFx' | '66' | 'F2' | 'F3';
  readonly modrm: boolean;
  /** ModRM.reg, or -1. */
  readonly digit: number;
  /** First of the ModRM bytes that are part of the opcode, or -1. */
  readonly exact: number;
  /** How many ModRM bytes from `exact`: 1, or 8 for "+i". */
  readonly exactCount: number;
  readonly w: 0 | 1 | undefined;
  /** Only without REX.B: opcode 90 is NOP, 41 90 is XCHG. */
  readonly noRexB: boolean;
  readonly modes: '64' | '32' | 'both';
  readonly defaultSize: 'd64' | 'f64' | undefined;
  readonly operands: readonly OperandSpec[];
  readonly text: string;
}

const SIZES: Readonly<Record<string, number | 'v' | 'z' | 'y'>> = {
  b: 8,
  w: 16,
  d: 32,
  q: 64,
  v: 'v',
  z: 'z',
  y: 'y',
  dq: 128,
  x: 128,
  ps: 128,
  pd: 128,
  ss: 32,
  sd: 64,
  pi: 64,
  t: 80,
  '': 0,
};

const FIXED: Readonly<Record<string, readonly [register: number, size: number | 'v']>> = {
  AL: [0, 8],
  CL: [1, 8],
  AX: [0, 16],
  DX: [2, 16],
  EAX: [0, 32],
  rAX: [0, 'v'],
};

/**
 * Parses an encoding row, for instance
 *   '00 /r Eb,Gb'   'F0 0F…' never: prefixes are words   '66 0F 58 /r Vpd,Wpd'   '80 /0 Eb,Ib'   '50+r Zv d64'   'D8 /C0+i STi'   '0F C7 /1 Mq W0'
 * Words: an optional mandatory prefix (NP NFx 66 F2 F3), the opcode's bytes, how ModRM is used (/r, /0…/7, or /C0 for an exact byte), the operands, and
 * attributes: VEX in front; d64, f64 (SDM Vol. 2D: default or forced 64-bit operand size), i64 (not in 64-bit mode), o64 (only there), W0, W1 (REX.W), noB.
 */
export function parseForm(text: string): Form {
  const words = text.trim().split(/\s+/);
  let prefix: Form['prefix'] = 'any';
  const vex = words[0] === 'VEX';
  if (vex) words.shift();
  const first = words[0] ?? '';
  const escapes = words[1] === '0F';
  if (
    first === 'NP' ||
    first === 'NFx' ||
    ((first === '66' || first === 'F2' || first === 'F3') && (escapes || (words.length > 1 && isByte(words[1]))))
  ) {
    prefix = first as Form['prefix'];
    words.shift();
  }
  const bytes = words.splice(0, words.findIndex((word) => !isByte(word)) >>> 0);
  let map = 0;
  if (bytes[0] === '0F' && bytes.length > 1) {
    bytes.shift();
    const second = bytes.length > 1 ? bytes.at(0) : undefined;
    map = second === '38' ? 2 : second === '3A' ? 3 : 1;
    if (map !== 1) bytes.shift();
  }
  if (vex) map += 3;
  const opcodeText = bytes[0];
  if (bytes.length !== 1 || opcodeText === undefined) throw new Error(`form "${text}": one opcode byte expected`);
  const opcode = parseInt(opcodeText.slice(0, 2), 16);
  let modrm = false;
  let digit = -1;
  let exact = -1;
  let exactCount = 0;
  let w: Form['w'];
  let noRexB = false;
  let modes: Form['modes'] = 'both';
  let defaultSize: Form['defaultSize'];
  let operands: OperandSpec[] = [];
  for (const word of words) {
    if (word.startsWith('/')) {
      modrm = true;
      if (word === '/r') continue;
      if (word.length === 2) digit = Number(word[1]);
      else {
        exact = parseInt(word.slice(1, 3), 16);
        exactCount = word.endsWith('+i') ? 8 : 1;
      }
    } else if (word === 'W0') w = 0;
    else if (word === 'W1') w = 1;
    else if (word === 'noB') noRexB = true;
    else if (word === 'i64') modes = '32';
    else if (word === 'o64') modes = '64';
    else if (word === 'd64' || word === 'f64') defaultSize = word;
    else operands = word.split(',').map((o) => parseOperand(o, text));
  }
  return { map, opcode, prefix, modrm, digit, exact, exactCount, w, noRexB, modes, defaultSize, operands, text };
}

const isByte = (word: string | undefined): boolean => word !== undefined && /^[0-9A-F]{2}(\+r)?$/.test(word);

function parseOperand(word: string, text: string): OperandSpec {
  const fixed = FIXED[word];
  if (fixed) return { letter: 'fixed', register: fixed[0], size: fixed[1] };
  if (word === 'STi') return { letter: 'ST', register: 0, size: 80 };
  const size = SIZES[word.slice(1)];
  const letter = word[0] ?? '';
  if (size === undefined || !'EGMRZIJOBXSCDVWUPQN'.includes(letter)) throw new Error(`form "${text}": operand ${word}`);
  return { letter: letter as OperandLetter, register: 0, size };
}

/** The opcode bytes a form covers: eight when a register is in the low bits. */
export const opcodesOf = (form: Form): number[] =>
  form.operands.some((o) => o.letter === 'Z') ? Array.from({ length: 8 }, (_, i) => form.opcode + i) : [form.opcode];

export const sizeOf = (spec: OperandSpec, width: number): number => {
  switch (spec.size) {
    case 'v':
      return width;
    case 'z':
      return Math.min(width, 32);
    case 'y':
      return width === 64 ? 64 : 32;
    default:
      return spec.size;
  }
};

export const dependsOnWidth = (form: Form): boolean =>
  form.operands.length === 0 ||
  form.operands[0]?.letter === 'I' ||
  form.operands.some((o) => typeof o.size === 'string');

/** Whether ModRM may name memory, a register, or both. */
export function modKinds(form: Form): readonly ('r' | 'm')[] {
  if (!form.modrm) return form.operands.some((o) => o.letter === 'O') ? ['m'] : ['r'];
  if (form.exact >= 0) return ['r'];
  const letters = form.operands.map((o) => o.letter);
  if (letters.includes('M')) return ['m'];
  if (letters.some((l) => l === 'R' || l === 'U' || l === 'N')) return ['r'];
  if (letters.some((l) => l === 'E' || l === 'W' || l === 'Q')) return ['r', 'm'];
  return ['r', 'm'];
}

/** The operand as the instruction's meaning sees it. */
export function operandOf(spec: OperandSpec, position: number, width: number, mod: 'r' | 'm'): Operand {
  const bits = sizeOf(spec, width);
  const kind = ((): Operand['kind'] => {
    switch (spec.letter) {
      case 'E':
        return mod;
      case 'G':
      case 'R':
      case 'Z':
      case 'B':
      case 'fixed':
        return 'r';
      case 'M':
      case 'O':
        return 'm';
      case 'I':
      case 'J':
        return 'i';
      case 'X': // implicit memory of a string instruction: gives the width only
      case 'S':
      case 'C':
      case 'D':
        return 's';
      case 'V':
      case 'U':
        return 'x';
      case 'W':
        return mod === 'm' ? 'm' : 'x';
      case 'P':
      case 'N':
        return 'q';
      case 'Q':
        return mod === 'm' ? 'm' : 'q';
      case 'ST':
        return 't';
      default: {
        const never: never = spec.letter;
        throw new Error(String(never));
      }
    }
  })();
  // The decoder widens immediates to the first operand's size, so how they were encoded makes no other operand; a fixed 16 bits tells forms with and without one apart.
  if (kind === 'i') return { kind, bits: spec.size === 16 ? 16 : 0, position };
  return { kind, bits: kind === 'x' ? 128 : kind === 'q' ? 64 : bits, position };
}
