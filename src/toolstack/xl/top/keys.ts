/** What the keys of xentop do, without a terminal: a state, a key, the next state. */
import { atoi } from '../../config/numbers.ts';
import { columns } from './columns.ts';
import type { View } from './report.ts';

export interface TopState {
  readonly view: View;
  readonly delaySeconds: number;
  /** What was typed so far at the question for the delay; undefined: nothing is asked. */
  readonly answer: string | undefined;
}

/** A character, or the name of a key that sends more than one. */
export type Key = 'up' | 'down' | 'backspace' | 'enter' | 'escape' | 'interrupt' | (string & {});

const sequences: readonly (readonly [string, Key])[] = [
  ['\x1b[A', 'up'],
  ['\x1bOA', 'up'],
  ['\x1b[B', 'down'],
  ['\x1bOB', 'down'],
  ['\x1b', 'escape'],
  ['\x7f', 'backspace'],
  ['\b', 'backspace'],
  ['\r', 'enter'],
  ['\n', 'enter'],
  ['\x03', 'interrupt'],
];
/** Of other keys (ECMA-48, control sequences): nothing here, and not an escape either. */
const otherSequence = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)/;

/** The keys in what a terminal has sent at once. */
export function keysOf(typed: string): readonly Key[] {
  const keys: Key[] = [];
  for (let rest = typed; rest !== '';) {
    const known = sequences.find(([sequence]) => sequence.length > 1 && rest.startsWith(sequence));
    const other = known === undefined ? otherSequence.exec(rest)?.[0] : undefined;
    const single = sequences.find(([sequence]) => rest.startsWith(sequence));
    const [text, key] =
      known ?? (other === undefined ? (single ?? [rest.charAt(0), rest.charAt(0)]) : [other, undefined]);
    if (key !== undefined) keys.push(key);
    rest = rest.slice(text.length);
  }
  return keys;
}

type Toggle = 'vcpus' | 'networks' | 'disks' | 'repeatHeader';
const toggles: Readonly<Record<string, Toggle>> = { n: 'networks', b: 'disks', v: 'vcpus', r: 'repeatHeader' };
const MOST_TYPED = 79;

/** Undefined: leave. */
export function press(state: TopState, key: Key): TopState | undefined {
  return state.answer === undefined ? command(state, key) : answer(state, state.answer, key);
}

function command(state: TopState, key: Key): TopState | undefined {
  const { view } = state;
  const change = (part: Partial<View>): TopState => ({ ...state, view: { ...view, ...part } });
  if (key === 'up') return change({ skip: Math.max(0, view.skip - 1) });
  if (key === 'down') return change({ skip: view.skip + 1 });
  if (key === 'escape' || key === 'interrupt') return undefined;
  if (key.length !== 1) return state;
  const letter = key.toLowerCase();
  const toggle = toggles[letter];
  if (toggle !== undefined) return change({ [toggle]: !view[toggle] });
  if (letter === 's') return change({ sort: (view.sort + 1) % columns.length });
  if (letter === 'd') return { ...state, answer: '' };
  return letter === 'q' ? undefined : state;
}

function answer(state: TopState, typed: string, key: Key): TopState | undefined {
  if (key === 'interrupt') return undefined;
  if (key === 'escape') return { ...state, answer: undefined };
  if (key === 'enter') {
    const seconds = atoi(typed);
    return { ...state, delaySeconds: seconds > 0 ? seconds : state.delaySeconds, answer: undefined };
  }
  if (key === 'backspace') return { ...state, answer: typed.slice(0, -1) };
  const printable = key.length === 1 && key >= ' ' && key <= '~';
  return printable && typed.length < MOST_TYPED ? { ...state, answer: typed + key } : state;
}
