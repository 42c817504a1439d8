/**
 * `guest-files fetch [--busybox32] [PACKAGE]` fetches a kernel package, builds an initramfs for it, and prints the paths
 * of both, as lines that can be pasted into a domain's configuration.
 */
import { parseArgs } from 'node:util';
import { XenError } from '../xen-error.ts';
import { DEFAULT_KERNEL_PACKAGE, guestFiles } from './guest-files.ts';
import { progressPrinter } from './progress-printer.ts';

const USAGE = `Usage: guest-files fetch [--busybox32] [--cache FOLDER] [PACKAGE]
PACKAGE is ${DEFAULT_KERNEL_PACKAGE} unless another is named.`;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { busybox32: { type: 'boolean' }, cache: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const [command, name, ...rest] = positionals;
  if (values.help === true || command !== 'fetch' || rest.length > 0) {
    console.error(USAGE);
    return values.help === true ? 0 : 2;
  }
  const progress = progressPrinter(process.stderr);
  try {
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
