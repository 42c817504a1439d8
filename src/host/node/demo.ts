/**
 * `npm run demo`, and `npm start`: boots a Debian kernel with a small initramfs as a PV domain, without any disk, and connects it to this terminal, until the guest
 * powers off. With no terminal on standard input its lines are typed into the guest's shell, and the guest is powered off at their end.
 */
import { parseArgs } from 'node:util';
import { DEFAULT_KERNEL_PACKAGE, guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { progressPrinter } from '../../toolstack/guest-files/progress-printer.ts';
import { XenError } from '../../toolstack/xen-error.ts';
import { bootAttended, configOf, exitCodeOf, quoted, runCommand, toolstack } from './attended-boot.ts';

const usage = `Usage: npm run demo [-- OPTIONS]

Boots a Debian kernel as a PV domain, with a small system in memory and a shell on
the console. "poweroff" in the guest ends it; Ctrl-] leaves and destroys it. Commands
can come from a pipe:

  printf 'uname -a\\ncat /sys/hypervisor/type\\n' | npm run --silent demo

Meanwhile \`bin/xl list\`, \`bin/xl dmesg\` and the like work in another terminal.

  --package NAME   Debian kernel package (default ${DEFAULT_KERNEL_PACKAGE})
  --kernel FILE    kernel to boot instead (with --ramdisk)
  --ramdisk FILE   its initramfs
  --memory MIB     memory of the guest (default 256)
  --append TEXT    added to the kernel's command line
  --name NAME      name of the domain (default demo)
  -h, --help       this text
`;

interface Options {
  readonly package: string;
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  readonly memory: string;
  readonly append: string;
  readonly name: string;
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      options: {
        package: { ...text, default: DEFAULT_KERNEL_PACKAGE },
        kernel: text,
        ramdisk: text,
        memory: { ...text, default: '256' },
        append: { ...text, default: '' },
        name: { ...text, default: 'demo' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return undefined;
    const { kernel, ramdisk, memory, append, name } = values;
    return { package: values.package, kernel, ramdisk, memory, append, name };
  } catch (error) {
    throw new XenError(error instanceof Error ? error.message : String(error), {
      hint: 'npm run demo -- --help',
      exitCode: 2,
    });
  }
}

async function filesOf(options: Options): Promise<{ kernel: string; ramdisk: string | undefined }> {
  if (options.kernel !== undefined) return { kernel: options.kernel, ramdisk: options.ramdisk };
  const progress = progressPrinter(process.stderr);
  const { kernel, ramdisk } = await guestFiles({ package: options.package, onProgress: progress.report });
  progress.end();
  return { kernel, ramdisk: options.ramdisk ?? ramdisk };
}

async function main(): Promise<number> {
  const options = readOptions();
  if (!options) {
    process.stdout.write(usage);
    return 0;
  }
  const typing = process.stdin.isTTY === true;
  const files = await filesOf(options);
  const cmdline = ['console=hvc0', ...(typing ? [] : [PLAIN_CONSOLE]), options.append].filter(Boolean).join(' ');
  const lines = [
    `name = ${quoted(options.name)}`,
    'type = "pv"',
    `kernel = ${quoted(files.kernel)}`,
    ...(files.ramdisk === undefined ? [] : [`ramdisk = ${quoted(files.ramdisk)}`]),
    `memory = ${options.memory}`,
    `cmdline = ${quoted(cmdline)}`,
    'on_reboot = "destroy"',
    'on_crash = "destroy"',
  ];
  const { client, close } = await toolstack();
  try {
    return exitCodeOf(await bootAttended(client, configOf(lines, 'npm run demo'), typing));
  } finally {
    await close();
  }
}

await runCommand(main);
