import { type Outcome, Stop } from './case-codec.ts';
import { addressOfImage, FxAt, IMAGE_SIZE, imageOffset, regionAt, StateAt } from './layout.ts';
import { describeCase, describeStop, stateParts } from './report.ts';
import type { Sample } from './samples.ts';
import {
  APPROXIMATE,
  FAULTS_IN_ANY_ORDER,
  PARTLY_DONE_ON_FAULT,
  REFUSED_ANYHOW,
  TRANSCENDENTAL,
  undefinedMemory,
  undefinedOf,
} from './undefined-flags.ts';

/** A case on which processor and interpreter differ. */
export interface Mismatch {
  readonly sample: Sample;
  readonly native: Outcome;
  readonly ours: Outcome;
  /** name, before, processor, ours */
  readonly differences: readonly Difference[];
}
export interface Difference {
  readonly part: string;
  readonly before: string;
  readonly native: string;
  readonly ours: string;
}

/** Undefined when both agree on everything that is defined. */
export function compare(sample: Sample, native: Outcome, ours: Outcome): Mismatch | undefined {
  if (REFUSED_ANYHOW.test(sample.of.name) && isRefusal(native) && isRefusal(ours)) return undefined;
  if (PARTLY_DONE_ON_FAULT.test(sample.of.name) && native.trap === 14 && ours.trap === 14) return undefined;
  if (FAULTS_IN_ANY_ORDER.test(sample.of.name) && native.trap === 14 && ours.trap === 14)
    ours = { ...ours, faultAddress: native.faultAddress, errorCode: native.errorCode };
  if (native.stop === Stop.timeout && ours.stop === Stop.timeout) return undefined;
  const bits = undefinedOf(sample);
  settle(sample, native, bits.flags, bits.status);
  settle(sample, ours, bits.flags, bits.status);
  if (sameStop(native, ours) && Buffer.compare(native.after.bytes, ours.after.bytes) === 0 && sameChanges(native, ours))
    return undefined;
  const differences = listDifferences(sample, native, ours);
  return differences.length === 0 ? undefined : { sample, native, ours, differences };
}

const isRefusal = (o: Outcome): boolean => o.trap === 6 || o.trap === 13;

/** Gives undefined bits their value from before. */
function settle(sample: Sample, o: Outcome, flags: number, status: number): void {
  if (flags !== 0) o.after.rflags = (o.after.rflags & ~flags) | (sample.before.rflags & flags);
  if (status !== 0) o.after.fsw = (o.after.fsw & ~status) | (sample.before.fsw & status);
}

function sameStop(a: Outcome, b: Outcome): boolean {
  return a.stop === b.stop && a.trap === b.trap && sameErrorCode(a, b) && a.faultAddress === b.faultAddress;
}

/** Linux sets the "present" bit for addresses above user space, so that user programs cannot probe them (arch/x86/mm/fault.c). */
function sameErrorCode(a: Outcome, b: Outcome): boolean {
  const ignored = a.trap === 14 && a.faultAddress >= 0x7fff_ffff_f000n ? 1 : 0;
  return (a.errorCode | ignored) === (b.errorCode | ignored);
}

function sameChanges(a: Outcome, b: Outcome): boolean {
  if (a.changes.length !== b.changes.length) return false;
  return a.changes.every((p, i) => {
    const q = b.changes[i];
    return q !== undefined && p.at === q.at && Buffer.compare(p.bytes, q.bytes) === 0;
  });
}

function listDifferences(sample: Sample, native: Outcome, ours: Outcome): Difference[] {
  const list: Difference[] = [];
  if (!sameStop(native, ours))
    list.push({ part: 'stop', before: '', native: describeStop(native), ours: describeStop(ours) });
  const before = stateParts(sample.before);
  const theirs = stateParts(native.after);
  stateParts(ours.after).forEach(([part, value], i) => {
    const expected = theirs[i]?.[1] ?? '';
    if (value === expected || tolerable(sample, part, native, ours)) return;
    list.push({ part, before: before[i]?.[1] ?? '', native: expected, ours: value });
  });
  list.push(...memoryDifferences(sample, native, ours));
  return list;
}

function memoryDifferences(sample: Sample, native: Outcome, ours: Outcome): Difference[] {
  const image = new Uint8Array(IMAGE_SIZE);
  const known = new Uint8Array(IMAGE_SIZE);
  const theirs = new Map<number, number>();
  for (const p of native.changes) p.bytes.forEach((b, i) => theirs.set(p.at + i, b));
  const mine = new Map<number, number>();
  for (const p of ours.changes) p.bytes.forEach((b, i) => mine.set(p.at + i, b));
  for (const p of sample.patches) {
    image.set(p.bytes, p.at);
    known.fill(1, p.at, p.at + p.bytes.length);
  }
  const masked = new Set<number>();
  if (sample.target !== undefined && regionAt(Number(sample.target))) {
    for (const [from, to] of undefinedMemory(sample)) {
      for (let i = from; i < to; i++) {
        const at = imageOffset(Number(sample.target) + i);
        if (at !== undefined) masked.add(at);
      }
    }
  }
  const places = [...new Set([...theirs.keys(), ...mine.keys()])].sort((a, b) => a - b);
  const hex = (b: number | undefined): string => (b === undefined ? '=' : b.toString(16).padStart(2, '0'));
  const list: Difference[] = [];
  let line: { at: number; next: number; native: string[]; ours: string[]; before: string[] } | undefined;
  const flush = (): void => {
    if (line)
      list.push({
        part: `[${addressOfImage(line.at).toString(16)}]`,
        before: line.before.join(' '),
        native: line.native.join(' '),
        ours: line.ours.join(' '),
      });
    line = undefined;
  };
  for (const at of places) {
    const a = theirs.get(at);
    const b = mine.get(at);
    // A byte that only one side reports is unchanged on the other: reports come in words of eight bytes.
    const old = known[at] === 1 ? image[at] : pristineByte(at);
    if (masked.has(at) || (a ?? old) === (b ?? old)) continue;
    if (!line || line.next !== at) {
      flush();
      line = { at, next: at, native: [], ours: [], before: [] };
    }
    line.next = at + 1;
    line.before.push(hex(old));
    line.native.push(hex(a ?? old));
    line.ours.push(hex(b ?? old));
  }
  flush();
  return list;
}

let pristine: Uint8Array | undefined;
/** Set once by whoever runs comparisons; only reports need it. */
export function setPristine(image: Uint8Array): void {
  pristine = image;
}
const pristineByte = (at: number): number | undefined => pristine?.[at];

/** Approximations may differ by their documented error. */
function tolerable(sample: Sample, part: string, native: Outcome, ours: Outcome): boolean {
  const register = /^(xmm|st)(\d+)$/.exec(part);
  if (!register) return false;
  const n = Number(register[2]);
  if (register[1] === 'xmm' && APPROXIMATE.test(sample.of.name)) {
    for (let lane = 0; lane < 4; lane++) {
      const at = StateAt.fx + FxAt.xmm + 16 * n + 4 * lane;
      const a = native.after.view.getFloat32(at, true);
      const b = ours.after.view.getFloat32(at, true);
      const same = native.after.view.getUint32(at, true) === ours.after.view.getUint32(at, true);
      // SDM Vol. 2B, "RCPPS": relative error at most 1.5 × 2^-12; two such approximations differ by twice that.
      if (!same && !(Math.abs(a - b) <= Math.abs(a) * 3 * 2 ** -12)) return false;
    }
    return true;
  }
  if (register[1] === 'st' && TRANSCENDENTAL.test(sample.of.name))
    return distance(native.after.st(n), ours.after.st(n)) <= 4n;
  return false;
}

/** How many extended values lie between two of the same sign; a large number for others. */
function distance(a: Uint8Array, b: Uint8Array): bigint {
  const number = (bytes: Uint8Array): bigint =>
    bytes.reduceRight((sum, byte, i) => (sum << 8n) | BigInt(i === 9 ? byte & 0x7f : byte), 0n);
  if (((a[9] ?? 0) ^ (b[9] ?? 0)) & 0x80) return 1n << 80n;
  // Exponent and significand as one number, without the integer bit that repeats in every normal number.
  const ordered = (n: bigint): bigint => ((n >> 64n) << 63n) | (n & 0x7fff_ffff_ffff_ffffn);
  const d = ordered(number(a)) - ordered(number(b));
  return d < 0n ? -d : d;
}

/** A readable account of one mismatch. */
export function describeMismatch(m: Mismatch): string {
  const lines = [m.sample.of.title, `  ${describeCase(m.sample)}`, `  processor ${describeStop(m.native)}`];
  const inputs = stateParts(m.sample.before);
  const interesting = new Set(m.differences.map((d) => d.part));
  for (const [part, value] of inputs)
    if (interesting.has(part) || relevant(m.sample, part)) lines.push(`  ${part.padEnd(9)} before    ${value}`);
  if (m.sample.target !== undefined)
    lines.push(
      `  operand   at        ${BigInt.asUintN(64, m.sample.target).toString(16)} (${m.sample.size} bytes) ${operandText(m.sample)}`,
    );
  for (const d of m.differences) {
    if (d.part.startsWith('[')) lines.push(`  ${d.part.padEnd(9)} before    ${d.before}`);
    lines.push(`  ${d.part.padEnd(9)} processor ${d.native}`, `  ${''.padEnd(9)} ours      ${d.ours}`);
  }
  return lines.join('\n');
}

function operandText(s: Sample): string {
  const bytes: string[] = [];
  for (let i = 0; i < Math.min(s.size, 16); i++) {
    const at = imageOffset(Number(s.target) + i);
    let value = at === undefined ? undefined : pristineByte(at);
    if (at !== undefined)
      for (const p of s.patches) if (at >= p.at && at < p.at + p.bytes.length) value = p.bytes[at - p.at];
    bytes.push(value === undefined ? '--' : value.toString(16).padStart(2, '0'));
  }
  return bytes.join(' ');
}

/** State that the instruction reads, judged by its operands. */
function relevant(s: Sample, part: string): boolean {
  const { form } = s.of;
  if (part === 'rflags') return true;
  const fpu = form.operands.some((o) => 'VWU'.includes(o.letter));
  if (part === 'mxcsr') return fpu;
  if (/^(fcw|fsw|tags|st\d)$/.test(part))
    return (
      (form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) ||
      form.operands.some((o) => 'PQN'.includes(o.letter))
    );
  const register = /^xmm(\d+)$/.exec(part);
  if (register) return fpu && xmmRegisters(s).includes(Number(register[1]));
  return /^r(ax|cx|dx|bx|sp|bp|si|di|8|9|1\d)$/.test(part);
}

function xmmRegisters(s: Sample): number[] {
  // ModRM and REX of the bytes at hand; reports only.
  const code = s.code;
  let at = 0;
  let rex = 0;
  for (; at < code.length; at++) {
    const b = code[at] ?? 0;
    if (b >= 0x40 && b <= 0x4f && s.mode === 0) rex = b;
    else if (b === 0x0f) break;
  }
  at += s.of.form.map === 1 ? 2 : 3;
  const modrm = code[at] ?? 0;
  return [((modrm >> 3) & 7) | ((rex & 4) << 1), (modrm & 7) | ((rex & 1) << 3), 0];
}
