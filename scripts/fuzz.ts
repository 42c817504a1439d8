/**
 * npm run fuzz: the tests that try hostile input, with many more cases than npm test has time for.
 *
 *   npm run fuzz                   twenty times as many
 *   npm run fuzz -- 100            a hundred times
 *   npm run fuzz -- 100 qcow2      of the tests, those whose path contains one of the words
 *
 * XENOLITH_FUZZ_SEED=N has the cases of a run that failed come again.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTests } from './run-tests.ts';

const root = join(import.meta.dirname, '..');
const usualTimes = '20';
/** Whoever asks for more than this takes has made a mistake. */
const minutes = 24 * 60;

const [first = usualTimes, ...rest] = process.argv.slice(2);
const counted = /^\d+(\.\d+)?$/.test(first);
const times = counted ? first : usualTimes;
const words = counted ? rest : [first, ...rest];

const files = globSync('{src,scripts}/**/*.test.ts', { cwd: root })
  .filter((file) => readFileSync(join(root, file), 'utf8').includes('/testing/fuzz.ts'))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();
if (files.length === 0) {
  console.error(`no such tests: ${words.join(' ')}`);
  process.exit(64);
}
const { ok } = await runTests(root, files, { concurrency: 2, minutes, env: { XENOLITH_FUZZ_RUNS: times } });
process.exitCode = ok ? 0 : 1;
