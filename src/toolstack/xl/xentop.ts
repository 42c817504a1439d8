/** `xentop`: `xl top` under the name that monitoring programs call, with its own way to say what is wrong, and exit code 0 then. */
import { getopt } from './getopt.ts';
import { run, type Terminal } from './run.ts';
import { topOptions } from './top/options.ts';

const usage = `Usage: xentop [OPTION]
Displays ongoing information about xen vm resources 

-h, --help           display this help and exit
-V, --version        output version information and exit
-d, --delay=SECONDS  seconds between updates (default 3)
-n, --networks       output vif network data
-x, --vbds           output vbd block device data
-r, --repeat-header  repeat table header before each domain
-v, --vcpus          output vcpu data
-b, --batch	     output in batch mode, no user input accepted
-i, --iterations     number of iterations before exiting
-f, --full-name      output the full domain name (not truncated)

`;

export async function xentop(argv: readonly string[], terminal: Terminal): Promise<number> {
  const { short, long } = topOptions;
  const { options } = getopt(argv, { short: `h${short}`, long: { ...long, help: 'h' } });
  const stop = options.find((option) => 'unknown' in option || option.letter === 'h');
  if (stop === undefined) return run(['top', ...argv], terminal);
  if ('unknown' in stop)
    terminal.err(stop.unknown === '\0' ? 'xentop: unrecognized option' : `xentop: invalid option -- '${stop.unknown}'`);
  terminal.out(usage);
  return 0;
}

if (import.meta.main) {
  const code = await xentop(process.argv.slice(2), {
    out: (text) => void process.stdout.write(text),
    err: (line) => void process.stderr.write(`${line}\n`),
    env: process.env,
  });
  process.exit(code);
}
