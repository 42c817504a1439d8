/** `xl-image`: from a command line to an exit code. */
import { DiskError } from '../../dom0/disk/index.ts';
import { XenError } from '../xen-error.ts';
import { imageCommands } from './command-table.ts';
import { type ImageCommandRow, type ImageSurroundings, readArguments, usageError } from './image-command.ts';

export async function runImageTool(argv: readonly string[], surroundings: ImageSurroundings): Promise<number> {
  const { out, err } = surroundings;
  const [name, ...rest] = argv;
  try {
    if (name === undefined || name === '-h' || name === '--help' || name === 'help') {
      const topic = name === 'help' ? rest[0] : undefined;
      out(topic === undefined ? overview() : commandHelp(topic, commandNamed(topic)));
      return name === undefined ? 2 : 0;
    }
    const row = commandNamed(name);
    const given = readArguments(name, row, rest);
    if (given.options.has('h')) {
      out(commandHelp(name, row));
      return 0;
    }
    const { run } = await row.load();
    return await run({ ...surroundings, ...given });
  } catch (error) {
    if (!(error instanceof DiskError || error instanceof XenError)) throw error;
    err(`xl-image: ${error.message}`);
    if (error.hint !== undefined) err(`hint: ${error.hint}`);
    return error instanceof XenError ? error.exitCode : 1;
  }
}

function commandNamed(name: string): ImageCommandRow {
  const row = Object.hasOwn(imageCommands, name) ? imageCommands[name] : undefined;
  if (row === undefined) throw usageError(`no command "${name}"`, `there are ${Object.keys(imageCommands).join(', ')}`);
  return row;
}

function overview(): string {
  const lines = Object.entries(imageCommands).map(([name, { about }]) => `  ${name.padEnd(10)}${about}`);
  return `Usage: xl-image COMMAND [options] …

Makes, looks at and changes disk images: raw, qcow2 and vhd.

${lines.join('\n')}

xl-image COMMAND --help tells more.
`;
}

function commandHelp(name: string, { usage, about, help }: ImageCommandRow): string {
  return `Usage: xl-image ${name} ${usage}\n\n${about}.\n\n${help}\n`;
}
