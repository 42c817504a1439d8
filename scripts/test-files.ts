/**
 * test-files.ts CONCURRENCY FILE…: runs test files with Node's test runner, in the order in which they are given. `node --test` would sort them, and a long one that begins
 * last has nobody beside it in the end.
 */
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const [concurrency = '1', ...files] = process.argv.slice(2);
run({ files, concurrency: Number(concurrency) })
  .on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) process.exitCode = 1;
  })
  .compose(spec)
  .pipe(process.stdout);
