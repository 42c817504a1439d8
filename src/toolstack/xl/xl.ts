/** `xl`: global options, then a command of the table. */
import { run } from './run.ts';

const code = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (line) => void process.stderr.write(`${line}\n`),
  env: process.env,
});
process.exit(code);
