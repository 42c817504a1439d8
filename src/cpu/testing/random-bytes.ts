/** Code that a hostile program might contain: random bytes, mostly shaped like instructions so that a good part of them executes. */
import { instructionSet } from '../index.ts';
import type { Encoding } from '../instruction-set.ts';
import type { Random } from '../oracle/random.ts';

const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;
const MANDATORY: Readonly<Record<string, number>> = { 66: 0x66, F2: 0xf2, F3: 0xf3 };

let rows: readonly Encoding[] | undefined;
const encodings = (): readonly Encoding[] =>
  (rows ??= instructionSet().encodings.flatMap((map) => map.flatMap((opcode) => [...opcode])));

/** A program of `length` bytes. Instruction boundaries are a good guess; where the guess is wrong, it is random bytes. */
export function randomCode(random: Random, length: number, long64: boolean): Uint8Array {
  const out = new Uint8Array(length);
  if (random.chance(0.1)) {
    random.fill(out);
    return out;
  }
  for (let at = 0; at < length;) {
    for (const byte of randomInstruction(random, long64)) if (at < length) out[at++] = byte;
  }
  return out;
}

function randomInstruction(random: Random, long64: boolean): number[] {
  const { form } = random.pick(encodings());
  const bytes: number[] = [];
  while (random.chance(0.12)) bytes.push(random.pick(PREFIXES));
  const mandatory = MANDATORY[form.prefix];
  const vex = form.map > 3;
  if (mandatory !== undefined && !vex) bytes.push(mandatory);
  if (vex) {
    const pp = form.prefix === '66' ? 1 : form.prefix === 'F3' ? 2 : form.prefix === 'F2' ? 3 : 0;
    bytes.push(0xc4, (random.u32() & 0xe0) | (form.map - 3), (random.u32() & 0xf8) | pp);
  } else {
    if (long64 && random.chance(0.4)) bytes.push(0x40 | random.below(16));
    if (form.map > 0) bytes.push(0x0f);
    if (form.map === 2) bytes.push(0x38);
    if (form.map === 3) bytes.push(0x3a);
  }
  bytes.push(form.opcode);
  if (form.modrm) pushModrm(random, bytes, form.digit, form.exact);
  for (const { letter, size } of form.operands) {
    const wanted =
      letter === 'I' || letter === 'J' ? (typeof size === 'number' ? size / 8 : 4) : letter === 'O' ? 8 : 0;
    // Short branches stay near: loops are where a processor could get stuck.
    for (let i = 0; i < wanted; i++) bytes.push(letter === 'J' && size !== 8 && i > 0 ? 0 : random.u32() & 0xff);
  }
  return bytes;
}

function pushModrm(random: Random, bytes: number[], digit: number, exact: number): void {
  let modrm = exact >= 0 ? exact : random.u32() & 0xff;
  if (digit >= 0) modrm = (modrm & ~0x38) | (digit << 3);
  bytes.push(modrm);
  const mod = modrm >> 6;
  if (mod === 3) return;
  let base = modrm & 7;
  if (base === 4) {
    const sib = random.u32() & 0xff;
    bytes.push(sib);
    base = sib & 7;
  }
  // Small displacements: the registers hold addresses already.
  if (mod === 1) bytes.push(random.u32() & 0xff);
  else if (mod === 2 || (mod === 0 && base === 5)) bytes.push(random.u32() & 0xff, random.below(16), 0, 0);
}
