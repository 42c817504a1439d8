/**
 * Option parsing with the rules of GNU getopt_long(3), which xl's users rely on without knowing: bundled short options, values attached or
 * apart, unambiguous beginnings of long options, `--` to end them. Node's parseArgs knows other rules.
 *
 * Departs from xl, whose options end at the first argument since its own are read so before (glibc keeps the order of the first call): they may come later too, as most
 * programs have it, but a negative number after an argument is an argument as there.
 */

export interface OptionRules {
  /** As getopt(3): a letter each, with `:` after those that take a value; a leading `+` stops at the first argument. */
  readonly short: string;
  /** Long name → the letter it stands for, with `:` when it takes a value. */
  readonly long?: Readonly<Record<string, string>>;
}

export type ParsedOption =
  | { readonly letter: string; readonly value: string | undefined }
  /** What getopt calls `?`: unknown, ambiguous, or without its value. A long one has no letter; xl prints a NUL then. */
  | { readonly unknown: string };

export interface ParsedArguments {
  readonly options: readonly ParsedOption[];
  readonly arguments: readonly string[];
}

const negative = /^-\d/;

export function getopt(argv: readonly string[], rules: OptionRules): ParsedArguments {
  const posix = rules.short.startsWith('+');
  const options: ParsedOption[] = [];
  const rest: string[] = [];
  let at = 0;
  const nextValue = (): string | undefined => argv[at++];
  while (at < argv.length) {
    const argument = argv[at++] ?? '';
    if (argument === '--') {
      rest.push(...argv.slice(at));
      break;
    }
    if (argument.startsWith('--') && (!posix || rules.long !== undefined)) {
      options.push(longOption(argument.slice(2), rules.long ?? {}, nextValue));
    } else if (argument.startsWith('-') && argument !== '-' && !(rest.length > 0 && negative.test(argument))) {
      options.push(...shortOptions(argument.slice(1), rules.short, nextValue));
    } else if (posix) {
      rest.push(argument, ...argv.slice(at));
      break;
    } else {
      rest.push(argument);
    }
  }
  return { options, arguments: rest };
}

function longOption(
  text: string,
  long: Readonly<Record<string, string>>,
  nextValue: () => string | undefined,
): ParsedOption {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const beginnings = Object.keys(long).filter((candidate) => candidate.startsWith(name));
  const found = beginnings.includes(name) ? name : beginnings.length === 1 ? beginnings[0] : undefined;
  const rule = found === undefined ? undefined : long[found];
  if (rule === undefined) return { unknown: '\0' };
  const letter = rule.charAt(0);
  if (!rule.endsWith(':')) return equals < 0 ? { letter, value: undefined } : { unknown: letter };
  const value = equals < 0 ? nextValue() : text.slice(equals + 1);
  return value === undefined ? { unknown: letter } : { letter, value };
}

function* shortOptions(letters: string, rules: string, nextValue: () => string | undefined): Generator<ParsedOption> {
  for (let at = 0; at < letters.length; at++) {
    const letter = letters.charAt(at);
    const rule = letter === ':' || letter === '+' ? -1 : rules.indexOf(letter);
    if (rule < 0) {
      yield { unknown: letter };
    } else if (rules[rule + 1] !== ':') {
      yield { letter, value: undefined };
    } else {
      const value = at + 1 < letters.length ? letters.slice(at + 1) : nextValue();
      yield value === undefined ? { unknown: letter } : { letter, value };
      return;
    }
  }
}
