/** The options of pygrub (xen: docs/man/pygrub.1... and its --help), as `bootloader_args` gives them. */
import { parseArgs } from 'node:util';
import { BootFailure } from './boot-failure.ts';

export interface PygrubOptions {
  /** A number, counted from 0 over all submenus, or a title. */
  readonly entry: string | undefined;
  /** In the guest's disk; the configuration there is not read then. */
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  /** Added to the entry's own. */
  readonly args: string | undefined;
  /** Where the file system begins, in bytes, instead of looking for partitions. */
  readonly offset: number | undefined;
  readonly listEntries: boolean;
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

/** Those that say how a menu is shown, or where output goes, change nothing: nobody is asked here. */
const options = {
  entry: text,
  kernel: text,
  ramdisk: text,
  args: text,
  offset: text,
  'list-entries': { ...flag, short: 'l' },
  quiet: { ...flag, short: 'q' },
  interactive: { ...flag, short: 'i' },
  'not-really': { ...flag, short: 'n' },
  debug: flag,
  runas: text,
  output: text,
  'output-format': text,
  'output-directory': text,
} as const;

/** Throws BootFailure. */
export function readPygrubOptions(args: readonly string[]): PygrubOptions {
  const { values } = parse(args);
  const { entry, kernel, ramdisk, args: extra } = values;
  const offset = values.offset === undefined ? undefined : Number(values.offset);
  if (offset !== undefined && !(Number.isSafeInteger(offset) && offset >= 0))
    throw new BootFailure(`--offset=${values.offset} is not a number of bytes`);
  return { entry, kernel, ramdisk, args: extra, offset, listEntries: values['list-entries'] ?? false };
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof options }>> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
  } catch (error) {
    throw new BootFailure(`bootloader_args: ${error instanceof Error ? error.message : String(error)}`);
  }
}
