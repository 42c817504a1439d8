/** `xl-image`: makes, looks at and changes disk images. The tool is src/toolstack/image; the files are Node's. */
import { getRandomValues } from 'node:crypto';
import { runImageTool } from '../../toolstack/image/run.ts';
import { nodeDiskHost } from './disk-files.ts';

process.exitCode = await runImageTool(process.argv.slice(2), {
  host: nodeDiskHost,
  out: (text) => void process.stdout.write(text),
  err: (line) => void process.stderr.write(`${line}\n`),
  terminal: process.stderr,
  now: Date.now,
  random: (length) => getRandomValues(new Uint8Array(length)),
});
