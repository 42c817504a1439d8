/**
 * `guest-files fetch [--busybox32] [PACKAGE]` fetches a kernel package, builds an initramfs for it, and prints the paths
 * of both, as lines that can be pasted into a domain's configuration. `guest-files agent` prints where the program is that docs/agent.md is about.
 */
import { parseArgs } from 'node:util';
import { XenError } from '../xen-error.ts';
import { agentProgram } from './agent.ts';
import { Cache, cacheFolder } from './cache.ts';
import { GuestFilesError } from './guest-files-error.ts';
import { DEFAULT_KERNEL_PACKAGE, guestFiles } from './guest-files.ts';
import { progressPrinter } from './progress-printer.ts';

const USAGE = `Usage: guest-files fetch [--busybox32] [--cache FOLDER] [PACKAGE]
       guest-files agent [--cache FOLDER]
PACKAGE is ${DEFAULT_KERNEL_PACKAGE} unless another is named.`;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { busybox32: { type: 'boolean' }, cache: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const [command, name, ...rest] = positionals;
  const known = command === 'fetch' || (command === 'agent' && name === undefined);
  if (values.help === true || !known || rest.length > 0) {
    console.error(USAGE);
    return values.help === true ? 0 : 2;
  }
  const progress = progressPrinter(process.stderr);
  try {
    if (command === 'agent') {
      const program = await agentProgram(new Cache(values.cache ?? cacheFolder()), progress.report);
      progress.end();
      if (program === undefined) throw new GuestFilesError('the agent is compiled on x86-64 Linux only');
      console.log(program);
      return 0;
    }
    const files = await guestFiles({
      package: name ?? DEFAULT_KERNEL_PACKAGE,
      onProgress: progress.report,
      busybox32: values.busybox32 ?? false,
      ...(values.cache === undefined ? {} : { cache: values.cache }),
    });
    progress.end();
    console.log(`kernel = "${files.kernel}"\nramdisk = "${files.ramdisk}"`);
    return 0;
  } finally {
    progress.end();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof XenError) {
    console.error(`guest-files: ${error.message}${error.hint === undefined ? '' : `\n${error.hint}`}`);
    process.exitCode = error.exitCode;
  } else if (
    error instanceof TypeError &&
    (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
  ) {
    console.error(`guest-files: ${error.message}\n${USAGE}`);
    process.exitCode = 2;
  } else {
    throw error;
  }
}
