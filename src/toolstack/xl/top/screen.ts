/** A sample as a terminal's screen, with the sequences that all of today's terminals know (ECMA-48); the layout is xentop's. */
import type { TopState } from './keys.ts';
import { domainLines, summaryLines, type Line, type NameWidth, type Piece } from './report.ts';
import type { Sample } from './columns.ts';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** The screen that was there before comes back at the end. */
export const enterScreen = '\x1b[?1049h';
export const leaveScreen = '\x1b[0m\x1b[?1049l';

const PLAIN = '\x1b[0m';
const REVERSE = '7';
const BOLD = '1';
/** Of what is switched on. */
const YELLOW = '43';

export function screen(sample: Sample, state: TopState, size: ScreenSize, names: NameWidth, time: Date): string {
  const lines = [...summaryLines(sample.host, time), ...domainLines(sample, state.view, names)];
  // The last row is the keys'.
  const rows = lines.flatMap((line) => wrap(line, Math.max(1, size.columns))).slice(0, Math.max(0, size.rows - 1));
  const shown = rows.map((line, row) => `\x1b[${row + 1};1H${line.map(shape).join('')}${PLAIN}\x1b[K`);
  const below = `\x1b[${rows.length + 1};1H\x1b[J`;
  return `${shown.join('')}${below}\x1b[${size.rows};3H${bottomLine(state, Math.max(0, size.columns - 3))}`;
}

function shape({ text, heading = false, sorted = false }: Piece): string {
  const attributes = [...(heading ? [REVERSE] : []), ...(sorted ? [BOLD] : [])];
  return `\x1b[${['0', ...attributes].join(';')}m${text}`;
}

/** Goes on in the next row where a line is too long. A name cannot command the terminal. */
function wrap(line: Line, width: number): readonly Line[] {
  const rows: Piece[][] = [[]];
  let left = width;
  for (const piece of line) {
    for (let rest = piece.text.replace(/\p{Cc}/gu, '?'); rest !== '';) {
      if (left === 0) {
        rows.push([]);
        left = width;
      }
      rows.at(-1)?.push({ ...piece, text: rest.slice(0, left) });
      const taken = Math.min(left, rest.length);
      rest = rest.slice(taken);
      left -= taken;
    }
  }
  return rows;
}

/** Each: what stands before the key, the key, and what is shown as switched on or off. */
const keys: readonly (readonly [before: string, key: string, after: string, is?: (state: TopState) => boolean])[] = [
  ['', 'D', 'elay'],
  ['', 'N', 'etworks', ({ view }) => view.networks],
  ['v', 'B', 'ds', ({ view }) => view.disks],
  ['', 'V', 'CPUs', ({ view }) => view.vcpus],
  ['', 'R', 'epeat header', ({ view }) => view.repeatHeader],
  ['', 'S', 'ort order'],
  ['', 'Q', 'uit'],
];

function bottomLine(state: TopState, width: number): string {
  if (state.answer !== undefined) return `Delay(sec): ${state.answer}`.slice(0, width);
  let [text, left] = ['', width];
  const add = (part: string, attribute: string): void => {
    const fits = part.slice(0, left);
    left -= fits.length;
    text += `\x1b[${attribute}m${fits}${PLAIN}`;
  };
  for (const [before, key, after, is] of keys) {
    const on = is?.(state) === true ? YELLOW : '0';
    if (before !== '') add(before, on);
    add(key, REVERSE);
    add(after, on);
    add('  ', '0');
  }
  return text;
}
