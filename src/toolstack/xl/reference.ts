/** Every command with its options and examples, as a page of docs and as xl's page of the manual. Both are kept in docs/ and checked against this. */
import { commandUsage } from './command-usage.ts';
import { commandHelp, rows, type HelpRow } from './help.ts';

const examplesOf = (name: string): readonly (readonly [string, string])[] => commandUsage[name]?.examples ?? [];

/** `Usage: xl [-vtT] list [options] [Domain]` without its first word. */
const synopsis = (name: string): string => (commandHelp(name).split('\n')[0] ?? '').replace(/^Usage: /, '');

const optionLines = ({ options = '' }: HelpRow): string => options.replace(/^\n+|\n+$/g, '');

export function markdownPage(): string {
  const sections = rows.map((row) => {
    const options = optionLines(row);
    const examples = examplesOf(row.name).map(([command, what]) => `# ${what}\n${command}`);
    return [
      `## ${row.name}\n`,
      `${escapeMarkdown(row.description)}.\n`,
      `\`${synopsis(row.name)}\`\n`,
      ...(options === '' ? [] : ['```text', options, '```\n']),
      ...(examples.length === 0 ? [] : ['```sh', examples.join('\n'), '```\n']),
    ].join('\n');
  });
  return `# Commands of xl

What \`xl help COMMAND\` says, on one page. [xl](xl.md) tells what the commands do here. This page is written by \`bin/launch scripts/xl-reference.ts\`.

${sections.join('\n')}`;
}

const escapeMarkdown = (text: string): string => text.replace(/[<>*_]/g, (sign) => `\\${sign}`);

/** man(7) */
export function manualPage(): string {
  const commands = rows.flatMap((row) => {
    const options = optionLines(row);
    return [
      `.SS ${roff(row.name)}`,
      `.B ${roff(synopsis(row.name))}`,
      '.PP',
      roff(`${row.description}.`),
      ...(options === '' ? [] : ['.PP', '.nf', ...options.split('\n').map(roff), '.fi']),
      ...examplesOf(row.name).flatMap(([command, what]) => ['.TP', `.B ${roff(command)}`, roff(what)]),
    ];
  });
  return `${[
    '.TH XL 1 "" "Xenolith" "Xenolith"',
    '.SH NAME',
    'xl \\- manage domains',
    '.SH SYNOPSIS',
    '.B xl',
    '.RB [ \\-vfNtT ]',
    '.I subcommand',
    '.RI [ arguments ]',
    '.SH DESCRIPTION',
    'Commands, options, messages and exit codes are those of xl of Xen 4.17. The first command that needs the daemon starts it.',
    '.SH COMMANDS',
    ...commands,
    '.SH SEE ALSO',
    '.BR xl.cfg (5),',
    '.BR xentop (1)',
  ].join('\n')}\n`;
}

function roff(text: string): string {
  const escaped = text.replace(/\\/g, '\\e').replace(/-/g, '\\-');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
