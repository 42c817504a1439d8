/** `xl help`, byte for byte as Xen 4.17 prints it; the texts are in `command-help.json`. Examples follow, where somebody has asked for help. */
import help from './command-help.json' with { type: 'json' };
import { commandUsage } from './command-usage.ts';

export interface HelpRow {
  readonly name: string;
  readonly modifies: boolean;
  readonly dryRun: boolean;
  readonly usage: string;
  readonly description: string;
  readonly options?: string;
}

export const rows: readonly HelpRow[] = help;
const nameWidth = 19;
/** Of an example and what it does; a longer one is told below. */
const LINE = 100;

export function commandList(): string {
  const lines = rows.map(({ name, description }) => {
    const tooLong = name.length > nameWidth ? `\n ${''.padEnd(nameWidth)} ` : '';
    return ` ${name.padEnd(nameWidth)} ${tooLong}${description}\n`;
  });
  return `Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n${lines.join('')}`;
}

export function commandHelp(name: string): string {
  const row = rows.find((candidate) => candidate.name === name);
  if (row === undefined) return `command "${name}" not implemented\n`;
  const globals = `-vtT${row.modifies ? 'f' : ''}${row.dryRun ? 'N' : ''}`;
  const options = row.options === undefined ? '' : `Options:\n\n${row.options}\n`;
  return `Usage: xl [${globals}] ${row.name} ${row.usage}\n\n${row.description}.\n\n${options}`;
}

/** The same and examples, or nothing more for what is no command. */
export function helpWithExamples(name: string): string {
  const [text, more] = [commandHelp(name), examples(name)];
  return more === '' ? text : `${text}${text.endsWith('\n\n') ? '' : '\n'}${more}`;
}

/** Commands and what they do, side by side unless a command is long. */
function examples(name: string): string {
  const given = Object.hasOwn(commandUsage, name) ? (commandUsage[name]?.examples ?? []) : [];
  if (given.length === 0) return '';
  const width = Math.max(...given.map(([command]) => command.length)) + 2;
  const lines =
    width + Math.max(...given.map(([, what]) => what.length)) <= LINE
      ? given.map(([command, what]) => `${command.padEnd(width)}${what}\n`)
      : given.map(([command, what]) => `${command}\n    ${what}\n`);
  return `Examples:\n\n${lines.join('')}\n`;
}
