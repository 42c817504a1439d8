/** `xl help`, byte for byte as Xen 4.17 prints it; the texts are in `command-help.json`. */
import help from './command-help.json' with { type: 'json' };

interface HelpRow {
  readonly name: string;
  readonly modifies: boolean;
  readonly dryRun: boolean;
  readonly usage: string;
  readonly description: string;
  readonly options?: string;
}

const rows: readonly HelpRow[] = help;
const nameWidth = 19;

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
