/**
 * `npm run demo`: boots a Debian kernel with a small initramfs as a PV domain, without any disk, and connects it to this terminal, until the guest
 * powers off. With no terminal on standard input its lines are typed into the guest's shell, and the guest is powered off at their end.
 */
import { channelLine } from '../../toolstack/agent/guest-agents.ts';
import { DEFAULT_KERNEL_PACKAGE, guestFiles } from '../../toolstack/guest-files/guest-files.ts';
import type { OnProgress } from '../../toolstack/guest-files/progress.ts';
import { quoted, runCommand } from './attended-boot.ts';
import { bootForCaller, type Asked } from './guest-command.ts';

const help = `Usage: npm run demo [-- OPTIONS]

Boots a Debian kernel as a PV domain, with a small system in memory and a shell on
the console: the quick guest, without disk and network. "poweroff" in the guest ends
it; Ctrl-] leaves and destroys it. Commands can come from a pipe:

  printf 'uname -a\\ncat /sys/hypervisor/type\\n' | npm run --silent demo

Meanwhile \`bin/xl list\`, \`bin/xl exec demo free\` and the like work in another
terminal.

  --package NAME   Debian kernel package (default ${DEFAULT_KERNEL_PACKAGE})
  --kernel FILE    kernel to boot instead (with --ramdisk)
  --ramdisk FILE   its initramfs
`;

async function provide(asked: Asked, onProgress: OnProgress): Promise<readonly string[]> {
  const kernel = asked.text('kernel');
  const found =
    kernel === undefined
      ? await guestFiles({ package: asked.text('package') ?? DEFAULT_KERNEL_PACKAGE, onProgress })
      : { kernel, ramdisk: undefined };
  const ramdisk = asked.text('ramdisk') ?? found.ramdisk;
  const own = [`kernel = ${quoted(found.kernel)}`, channelLine];
  return ramdisk === undefined ? own : [...own, `ramdisk = ${quoted(ramdisk)}`];
}

const text = { type: 'string' } as const;

await runCommand(() =>
  bootForCaller({
    command: 'npm run demo',
    help,
    memory: 256,
    name: 'demo',
    options: { package: text, kernel: text, ramdisk: text },
    reboots: false,
    provide,
    kernelArguments: { key: 'cmdline', always: ['console=hvc0'] },
  }),
);
