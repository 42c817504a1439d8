/** What `npm start` and `npm run demo` have in common: a command that boots one guest for whoever runs it, and ends with it. */
import { parseArgs, type ParseArgsOptionDescriptor } from 'node:util';
import { GuestFilesError, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { progressPrinter } from '../../toolstack/guest-files/progress-printer.ts';
import type { OnProgress } from '../../toolstack/guest-files/progress.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { bootAttended, configOf, exitCodeOf, quoted, SHUTDOWN_reboot, toolstack } from './attended-boot.ts';

export interface GuestCommand {
  /** As a person types it. */
  readonly command: string;
  /** What --help prints before the options that all such commands have. */
  readonly help: string;
  readonly memory: number;
  readonly name: string;
  /** Options beside --memory, --append, --name and --help; those with a value are texts. */
  readonly options: Readonly<Record<string, ParseArgsOptionDescriptor>>;
  /** Said when the files of the guest cannot be had. */
  readonly hint?: string;
  /** Whether it is booted again when it asks for that. A script's lines have been read to their end by then, so only a person's guest is. */
  readonly reboots: boolean;
  /** Has the guest's files ready; gives the lines of its configuration that are its own. */
  readonly provide: (asked: Asked, onProgress: OnProgress) => Promise<readonly string[]>;
  /** The key that takes arguments for the kernel: all of them, or more than the disk's menu says. */
  readonly kernelArguments: { readonly key: 'cmdline' | 'extra'; readonly always: readonly string[] };
}

/** The values of the command's own options. */
export interface Asked {
  text(option: string): string | undefined;
  flag(option: string): boolean;
}

const commonHelp = ({ memory, name }: GuestCommand): string => `\
  --memory MIB     memory of the guest (default ${memory})
  --append TEXT    added to the kernel's command line
  --name NAME      name of the domain (default ${name})
  -h, --help       this text
`;

/** The exit code. */
export async function bootForCaller(given: GuestCommand): Promise<number> {
  const values = readOptions(given);
  if (values['help'] === true) {
    process.stdout.write(given.help + commonHelp(given));
    return 0;
  }
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === 'string' ? value : undefined;
  };
  const typing = process.stdin.isTTY === true;
  const own = await provide(given, { text, flag: (option) => values[option] === true });
  const { key, always } = given.kernelArguments;
  const kernelArguments = [...always, ...(typing ? [] : [PLAIN_CONSOLE]), text('append')].filter(Boolean).join(' ');
  const lines = [
    `name = ${quoted(text('name') ?? given.name)}`,
    'type = "pv"',
    `memory = ${text('memory') ?? given.memory}`,
    ...own,
    `${key} = ${quoted(kernelArguments)}`,
    'on_reboot = "destroy"',
    'on_crash = "destroy"',
  ];
  const { client, close } = await toolstack();
  try {
    const config = configOf(lines, given.command);
    let ending = await bootAttended(client, config, typing);
    while (ending === SHUTDOWN_reboot && given.reboots && typing) ending = await bootAttended(client, config, typing);
    return exitCodeOf(ending);
  } finally {
    await close();
  }
}

type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

function readOptions({ command, options }: GuestCommand): Values {
  const text = { type: 'string' } as const;
  const help = { type: 'boolean', short: 'h' } as const;
  try {
    return parseArgs({ options: { ...options, memory: text, append: text, name: text, help } }).values;
  } catch (error) {
    throw new XenError(error instanceof Error ? error.message : String(error), {
      hint: `${command} -- --help`,
      exitCode: 2,
    });
  }
}

async function provide(given: GuestCommand, asked: Asked): Promise<readonly string[]> {
  const progress = progressPrinter(process.stderr);
  try {
    return await given.provide(asked, progress.report);
  } catch (error) {
    if (!(error instanceof GuestFilesError)) throw error;
    const hint = [error.hint, given.hint].filter((line) => line !== undefined).join('\n');
    throw new XenError(error.message, { ...(hint === '' ? {} : { hint }), cause: error });
  } finally {
    progress.end();
  }
}
