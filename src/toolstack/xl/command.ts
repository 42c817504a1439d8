/** What a command of xl gets, and how it reads its arguments. */
import type { DaemonClient } from '../daemon/client.ts';
import { XenError } from '../xen-error.ts';
import { getopt, type OptionRules, type ParsedArguments } from './getopt.ts';

/** xl's own options, before the command. */
export interface GlobalOptions {
  readonly verbose: number;
  readonly dryRun: boolean;
  readonly force: boolean;
}

export interface Invocation {
  /** The command's full name. */
  readonly name: string;
  readonly argv: readonly string[];
  readonly globals: GlobalOptions;
  out(text: string): void;
  /** One line on standard error. */
  err(line: string): void;
  /** The daemon; it is started when none runs. */
  daemon(): Promise<DaemonClient>;
  /** Undefined when none runs. */
  daemonIfRunning(): Promise<DaemonClient | undefined>;
  /** Another connection, for who has to do two things at a time; the caller closes it. */
  daemonAgain(): Promise<DaemonClient>;
}

/** Resolves with the exit code. */
export type Command = (invocation: Invocation) => Promise<number>;

/** Ends the command with this exit code; whatever there was to say has been said. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** Reads options and checks the number of arguments as every command of xl does. `-h` prints the help and ends. */
export async function readArguments(
  invocation: Invocation,
  rules: OptionRules,
  required: number,
): Promise<ParsedArguments & { has(letter: string): boolean; valueOf(letter: string): string | undefined }> {
  const { name, argv, err } = invocation;
  const short = rules.short.startsWith('+') ? `+h${rules.short.slice(1)}` : `h${rules.short}`;
  const parsed = getopt(argv, { short, long: { ...rules.long, help: 'h' } });
  for (const option of parsed.options) {
    if ('unknown' in option) {
      err(`option \`${option.unknown}' not supported.`);
      throw new Exit(2);
    }
    if (option.letter === 'h') {
      const { helpWithExamples } = await import('./help.ts');
      invocation.out(helpWithExamples(name));
      throw new Exit(0);
    }
  }
  if (parsed.arguments.length < required) {
    err(`'xl ${name}' requires at least ${required} argument${required > 1 ? 's' : ''}.\n`);
    await printHelp(invocation, name);
    throw new Exit(2);
  }
  const values = new Map(
    parsed.options.flatMap((option) => ('letter' in option ? [[option.letter, option.value] as const] : [])),
  );
  return { ...parsed, has: (letter) => values.has(letter), valueOf: (letter) => values.get(letter) };
}

/** For who has used a command wrongly: xl's text alone, which scripts may know. */
export async function printHelp(invocation: Pick<Invocation, 'out'>, name: string): Promise<void> {
  const { commandHelp } = await import('./help.ts');
  invocation.out(commandHelp(name));
}

/** A domain by number, whether it exists or not, or by name; xl ends when there is none of that name. */
export async function findDomain(invocation: Invocation, text: string): Promise<number> {
  if (/^[0-9]*$/.test(text)) return Number(text) % 2 ** 32;
  const client = await invocation.daemon();
  const { domid } = await client.call('domid', { name: text });
  if (domid !== null) return domid;
  invocation.err(`${text} is an invalid domain identifier (rc=-6)`);
  throw new Exit(1);
}

/** Runs a request that may fail and writes what libxl would; undefined when it went well, else libxl's error number. */
export async function attempt(invocation: Invocation, request: () => Promise<unknown>): Promise<number | undefined> {
  try {
    await request();
    return undefined;
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    for (const line of error.lines) invocation.err(line);
    return 'rc' in error && typeof error.rc === 'number' ? error.rc : -1;
  }
}
