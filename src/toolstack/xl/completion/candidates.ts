/**
 * What can stand at a place of a command line of xl, for any shell. Words and a place in, candidates out; what only the daemon knows is asked of it, and it is
 * not started for that.
 */
import { commandUsage, type ArgumentKind } from '../command-usage.ts';
import { rows } from '../help.ts';
import { optionsOf, type Option } from './options.ts';

export interface Candidate {
  readonly text: string;
  readonly description: string;
}

export interface Candidates {
  readonly words: readonly Candidate[];
  /** Names of files as well. */
  readonly files: boolean;
}

/** What runs at this moment; a list is empty when nothing is known. */
export interface Running {
  domains(): Promise<readonly Candidate[]>;
  disks(domain: string): Promise<readonly Candidate[]>;
  nics(domain: string): Promise<readonly Candidate[]>;
  pools(): Promise<readonly Candidate[]>;
  forwards(): Promise<readonly Candidate[]>;
}

const none: Candidates = { words: [], files: false };
const globalOptions: readonly Candidate[] = [
  { text: '-v', description: 'say more' },
  { text: '-f', description: 'force' },
  { text: '-N', description: 'dry run' },
  { text: '-t', description: 'show progress by carriage returns' },
  { text: '-T', description: 'time stamps in messages' },
];

/** `words` come after `xl`; `at` is the one with the cursor in it, which may be the next. */
export async function candidates(words: readonly string[], at: number, running: Running): Promise<Candidates> {
  const typed = words[at] ?? '';
  const before = words.slice(0, at);
  // zsh and fish leave `--long=value` one word; bash makes three of it, and `=` is the last before a value.
  const [, option, value] = /^(--[^=]+=)(.*)$/s.exec(typed) ?? [];
  if (option !== undefined && value !== undefined) {
    const found = await possible([...before, option.slice(0, -1)], value, running);
    const matching = found.words.filter(({ text }) => text.startsWith(value));
    return { ...found, words: matching.map((word) => ({ ...word, text: `${option}${word.text}` })) };
  }
  const current = typed === '=' ? '' : typed;
  const found = await possible(before, current, running);
  return { ...found, words: found.words.filter(({ text }) => text.startsWith(current)) };
}

async function possible(before: readonly string[], current: string, running: Running): Promise<Candidates> {
  const command = before.findIndex((word) => !word.startsWith('-'));
  if (command < 0) {
    if (current.startsWith('-')) return { words: globalOptions, files: false };
    return { words: commands(), files: false };
  }
  const typed = before[command] ?? '';
  if (typed === 'help') return before.length === command + 1 ? { words: commands(), files: false } : none;
  const name = rows.find((row) => row.name === typed)?.name ?? onlyBeginning(typed);
  if (name === undefined) return none;
  return atArgument(name, before.slice(command + 1), current, running);
}

function commands(): readonly Candidate[] {
  const all = rows.map(({ name, description }) => ({ text: name, description }));
  return [...all, { text: 'help', description: 'What commands there are, and how to use one' }];
}

function onlyBeginning(typed: string): string | undefined {
  const found = rows.filter(({ name }) => name.startsWith(typed));
  return found.length === 1 ? found[0]?.name : undefined;
}

async function atArgument(
  name: string,
  before: readonly string[],
  current: string,
  running: Running,
): Promise<Candidates> {
  const { takes, repeats = false, values = {} } = commandUsage[name] ?? { takes: [] };
  const options = optionsOf(name);
  const { given, pending } = read(before, options);
  if (pending !== undefined) {
    const kind = pending.names.map((option) => values[option]).find((known) => known !== undefined);
    return kind === undefined ? none : ofKind(kind, given, running);
  }
  if (current.startsWith('-')) return { words: options.flatMap(candidatesOf), files: false };
  const kind = takes[given.length] ?? (repeats ? takes.at(-1) : undefined);
  return kind === undefined ? none : ofKind(kind, given, running);
}

const candidatesOf = ({ names, description }: Option): readonly Candidate[] =>
  names.map((text) => ({ text, description }));

/** The arguments so far, and the option whose value comes next. bash gives `--long=value` as three words. */
function read(
  before: readonly string[],
  options: readonly Option[],
): { readonly given: readonly string[]; readonly pending: Option | undefined } {
  const given: string[] = [];
  let pending: Option | undefined;
  let onlyArguments = false;
  for (const word of before) {
    if (word === '=' && pending !== undefined) continue;
    if (pending !== undefined) pending = undefined;
    else if (word === '--') onlyArguments = true;
    else if (word.startsWith('-') && word !== '-' && !onlyArguments)
      pending = options.find(({ names, takesValue }) => takesValue && names.includes(word));
    else given.push(word);
  }
  return { given, pending };
}

async function ofKind(kind: ArgumentKind, given: readonly string[], running: Running): Promise<Candidates> {
  const words = (found: readonly Candidate[]): Candidates => ({ words: found, files: false });
  if (typeof kind !== 'string') return words(kind.map((text) => ({ text, description: '' })));
  switch (kind) {
    case 'file':
      return { words: [], files: true };
    case 'domain':
      return words(await running.domains());
    case 'domain or file':
      return { words: await running.domains(), files: true };
    case 'pool':
      return words(await running.pools());
    case 'disk':
      return words(await running.disks(given[0] ?? ''));
    case 'nic':
      return words(await running.nics(given[0] ?? ''));
    case 'forward':
      return words(await running.forwards());
    case 'command':
      return words(commands());
    case 'other':
      return none;
  }
}
