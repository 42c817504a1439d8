/** `xl`: global options, then a command of the table. Compiled code is kept between runs: scripts call `xl` all the time. */
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { run } = await import('./run.ts');
const code = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (line) => void process.stderr.write(`${line}\n`),
  env: process.env,
});
process.exit(code);
