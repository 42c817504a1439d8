import { type Form, modKinds, parseForm, sizeOf } from '../form.ts';
import { Mode } from './layout.ts';

/** One row of an instruction table: what the oracle needs to know of an instruction. */
export interface Row {
  readonly name: string;
  readonly text: string;
  readonly lock: boolean;
  readonly rep: boolean;
}

/** A row with operand size, mode, register or memory, and prefixes chosen: what "form" means in the counts. */
export interface FormSample {
  readonly name: string;
  readonly row: Row;
  readonly form: Form;
  readonly mode: Mode;
  readonly width: 16 | 32 | 64;
  readonly mod: 'r' | 'm';
  readonly lock: boolean;
  readonly repeat: number;
  /** For reports. */
  readonly title: string;
}

const WIDTHS = [16, 32, 64] as const;

/** All samples of a row. */
export function formSamples(row: Row): FormSample[] {
  const form = parseForm(row.text);
  const samples: FormSample[] = [];
  const sized =
    form.operands.some((o) => typeof o.size === 'string') ||
    form.operands.length === 0 ||
    form.defaultSize !== undefined;
  for (const mode of [Mode.long64, Mode.compat32]) {
    if (form.modes === (mode === Mode.long64 ? '32' : '64')) continue;
    for (const width of WIDTHS) {
      if (mode === Mode.compat32 && (width === 64 || form.w === 1)) continue;
      if (form.w === 1 ? width !== 64 : form.w === 0 && width === 64) continue;
      if (!sized && form.w === undefined && width !== 32) continue;
      if (width === 16 && (form.prefix === 'NP' || form.prefix === '66' || form.defaultSize === 'f64' || form.map > 3))
        continue;
      // Far pointers with 64-bit offsets: Intel has them, AMD takes them as 32-bit ones (AMD64 APM Vol. 3, "JMP (Far)", "LFS").
      if (width === 64 && /^(JMP_far|CALL_far|L[SFG]S)$/.test(row.name)) continue;
      if (form.defaultSize !== undefined && width === 32 && mode === Mode.long64) continue;
      // BSWAP of a 16-bit register is undefined (SDM Vol. 2A, "BSWAP").
      if (row.name === 'BSWAP' && width === 16) continue;
      // Near branches with 16-bit operands: processors differ (SDM Vol. 2A, "JMP": ignored; AMD64 APM Vol. 3: RIP is truncated).
      if (width === 16 && form.operands.some((o) => o.letter === 'J')) continue;
      for (const mod of modKinds(form)) {
        for (const lock of row.lock && mod === 'm' && isDestination(form) ? [false, true] : [false]) {
          for (const repeat of row.rep ? [0, 0xf3, 0xf2] : [0]) {
            const marks = [
              lock ? 'lock ' : '',
              repeat === 0xf3 ? 'rep ' : repeat === 0xf2 ? 'repne ' : '',
              row.name,
              ` ${row.text}`,
              sized || form.w === 0 ? ` o${width}` : '',
              ` ${mod}`,
              mode === Mode.compat32 ? ' compat' : '',
            ];
            samples.push({ name: row.name, row, form, mode, width, mod, lock, repeat, title: marks.join('') });
          }
        }
      }
    }
  }
  return samples;
}

const isDestination = (form: Form): boolean => form.operands[0]?.letter === 'E' || form.operands[0]?.letter === 'M';

/** Bytes of memory that an operand without a size in its row takes. */
const UNSIZED: Readonly<Record<string, number>> = {
  FXSAVE: 512,
  FXSAVE64: 512,
  FXRSTOR: 512,
  FXRSTOR64: 512,
  FNSAVE: 108,
  FRSTOR: 108,
  FNSTENV: 28,
  FLDENV: 28,
  FNSAVE16: 94,
  FRSTOR16: 94,
  FNSTENV16: 14,
  FLDENV16: 14,
};

/** Instructions whose memory operand is an offset followed by a selector. */
const FAR_POINTER = /^(JMP_far|CALL_far|L[DESFG]S)$/;

export function memorySize(form: Form, name: string, width: number): number {
  const spec = form.operands.find((o) => 'EMWQO'.includes(o.letter));
  if (!spec) return 0;
  const bits = sizeOf(spec, width);
  if (FAR_POINTER.test(name)) return width / 8 + 2;
  return bits > 0 ? bits / 8 : (UNSIZED[name] ?? 8);
}

export const isBranch = (of: FormSample): boolean =>
  of.form.operands.some((o) => o.letter === 'J') || /^(CALL|JMP|RET|LOOP|J[A-Z]*CXZ|IRET|INT|INTO)/.test(of.name);
