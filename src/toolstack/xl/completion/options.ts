/** The options of a command: those that its help text tells of, line by line, and those that command-usage.ts adds. */
import { commandUsage } from '../command-usage.ts';
import { rows } from '../help.ts';

export interface Option {
  /** `-f`, `--defconfig`: the same option. */
  readonly names: readonly string[];
  readonly takesValue: boolean;
  readonly description: string;
}

/** `-f FILE, --defconfig=FILE    Use …`, and with parts missing. */
const line =
  /^\s*(?:(-[A-Za-z])(?:[ ](?:\[?[A-Z]\w*(?:\/all)?\]?|<\w+>))?)?(?:(?:,?\s+|^)(--[a-z][\w-]*)(=\S+)?)?(?:[ ](\[[A-Z]+\]))?(?:\s+(.*))?$/;
const shortWithValue = /^\s*-[A-Za-z] (?:\[?[A-Z]|<)/;

export function optionsOf(name: string): readonly Option[] {
  if (commandUsage[name]?.plain === true) return [];
  const told = (rows.find((row) => row.name === name)?.options ?? '').split('\n').flatMap((text, at, all) => {
    if (!/^\s{0,2}-/.test(text)) return [];
    return [optionOn(text, all[at + 1])];
  });
  const added = (commandUsage[name]?.options ?? []).map((text) => optionOn(text, undefined));
  const help: Option = { names: ['-h', '--help'], takesValue: false, description: 'Print this help.' };
  return [...told.filter(({ names }) => !names.includes('-h')), ...added, help];
}

function optionOn(text: string, next: string | undefined): Option {
  const [, short, long, value, bracketed, rest] = line.exec(text) ?? [];
  const names = [short, long].filter((name) => name !== undefined);
  const takesValue = value !== undefined || bracketed !== undefined || shortWithValue.test(text);
  const description = (rest ?? '') !== '' ? (rest ?? '') : (next ?? '').trim();
  return { names, takesValue, description };
}
