/**
 * npm test: the stages below, one after the other; all of them run even when one fails.
 *
 *   npm test                            everything
 *   npm test -- --quick                 without the comparison with the real processor and without booting guests
 *   npm test -- --only unit,boot        these stages
 *   npm test -- --only unit src/abi     of the tests, those whose path contains one of the words
 */
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkRooms } from './room-imports.ts';
import { runTests, type TestCounts, type TestLimits } from './run-tests.ts';
import { runTool, type Tool } from './run-tool.ts';

const root = join(import.meta.dirname, '..');

/** Boot tests that begin before the others, so that none of them is left alone in the end: whole Debians, busy guests, several guests. */
const longest = [
  'npm-start',
  'stress-ng',
  'migrate-killed',
  'connection',
  'smp',
  'fork',
  'two-domains',
  'migrate',
  'package',
  'fio-iperf3',
];

interface Outcome {
  readonly ok: boolean;
  /** What a person reads beside the stage's name at the end. */
  readonly note: string;
  readonly counts?: TestCounts;
}

interface Stage {
  readonly about: string;
  /** Left out by --quick. */
  readonly slow?: true;
  /** Takes one processor only: runs while the stages before it do. */
  readonly beside?: true;
  run(words: readonly string[]): Promise<Outcome>;
}

const stages: Readonly<Record<string, Stage>> = {
  rooms: { about: 'imports between the rooms', run: () => Promise.resolve(rooms()) },
  types: { about: 'TypeScript, once as a whole and once for each room that knows no host', run: types },
  lint: { about: 'ESLint', beside: true, run: () => tool('eslint', ['.', '--max-warnings', '0']) },
  format: { about: 'Prettier', beside: true, run: () => tool('prettier', ['--check', '--log-level', 'warn', '.']) },
  unit: {
    about: 'unit tests',
    async run(words) {
      await bundledFor(words);
      return tests(['{src,scripts,bench}/**/*.test.ts'], words, { concurrency: 2, minutes: 20 });
    },
  },
  oracle: {
    about: 'comparison with the real processor',
    slow: true,
    run: (words) => tests(['src/**/*.oracle-test.ts'], words, { concurrency: 2, minutes: 20 }),
  },
  translator: {
    about: 'the same comparison with everything translated',
    slow: true,
    run: (words) =>
      tests(['src/**/*.oracle-test.ts'], words, { concurrency: 2, minutes: 30, env: { XENOLITH_ENGINE: 'eager' } }),
  },
  boot: {
    about: 'whole guests',
    slow: true,
    async run(words) {
      await bundledFor(words);
      return tests(['src/**/*.boot-test.ts'], words, { concurrency: 2, minutes: 90 }, longest);
    },
  },
};

/** Ten seconds that every daemon and vCPU gets back; for a single test it may be there already. */
async function bundledFor(words: readonly string[]): Promise<void> {
  if (words.length === 0) await (await import('./bundle.ts')).bundleWhenStale();
}

function rooms(): Outcome {
  const { files, wrong } = checkRooms(root);
  for (const line of wrong) console.log(line);
  return { ok: wrong.length === 0, note: `${files} files` };
}

async function types(): Promise<Outcome> {
  const projects = ['tsconfig.json', ...globSync('src/*/tsconfig.json', { cwd: root }).sort()];
  let ok = true;
  // Two at a time: as many as the smallest machine has cores.
  const queue = [...projects];
  const work = async () => {
    for (let project = queue.shift(); project !== undefined; project = queue.shift()) {
      const cache = join('node_modules/.cache/xenolith', project.replaceAll('/', '_'));
      const args = ['-p', project, '--incremental', '--tsBuildInfoFile', `${cache}.tsbuildinfo`];
      if ((await runTool(root, 'tsc', args)) !== 0) ok = false;
    }
  };
  await Promise.all([work(), work()]);
  return { ok, note: `${projects.length} projects` };
}

async function tool(name: Tool, args: readonly string[]): Promise<Outcome> {
  return { ok: (await runTool(root, name, args)) === 0, note: '' };
}

async function tests(
  patterns: readonly string[],
  words: readonly string[],
  limits: TestLimits,
  first: readonly string[] = [],
): Promise<Outcome> {
  const place = (file: string): number => {
    const found = first.indexOf(basename(file).split('.')[0] ?? '');
    return found < 0 ? first.length : found;
  };
  const files = globSync([...patterns], { cwd: root })
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort()
    .sort((one, other) => place(one) - place(other));
  if (files.length === 0) return { ok: true, note: 'no test files', counts: { passed: 0, failed: 0, skipped: 0 } };
  const result = await runTests(root, files, limits);
  const { passed, failed, skipped } = result.counts;
  return { ...result, note: `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}` };
}

function chosenStages(): { names: string[]; words: string[] } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, only: { type: 'string' } },
  });
  const names = values.only?.split(',') ?? Object.keys(stages).filter((name) => !(values.quick && stages[name]?.slow));
  const unknown = names.filter((name) => !stages[name]);
  if (unknown.length) throw new Error(`no stage "${unknown.join(', ')}"; there are: ${Object.keys(stages).join(', ')}`);
  return { names, words: positionals };
}

async function timed(name: string, words: readonly string[]): Promise<{ outcome: Outcome; seconds: number }> {
  const begin = performance.now();
  const outcome = (await stages[name]?.run(words)) ?? { ok: false, note: '' };
  return { outcome, seconds: (performance.now() - begin) / 1000 };
}

async function main(): Promise<number> {
  const { names, words } = chosenStages();
  const total = { passed: 0, failed: 0, skipped: 0 };
  const summary: string[] = [];
  let ok = true;
  const early = new Map(names.filter((name) => stages[name]?.beside).map((name) => [name, timed(name, words)]));
  for (const name of names) {
    console.log(`\n▸ ${name}: ${stages[name]?.about ?? ''}`);
    const { outcome, seconds } = await (early.get(name) ?? timed(name, words));
    ok &&= outcome.ok;
    total.passed += outcome.counts?.passed ?? Number(outcome.ok);
    total.failed += outcome.counts?.failed ?? Number(!outcome.ok);
    total.skipped += outcome.counts?.skipped ?? 0;
    summary.push(`${outcome.ok ? '✔' : '✖'} ${name.padEnd(8)}${seconds.toFixed(1).padStart(7)} s  ${outcome.note}`);
  }
  console.log(`\n${summary.join('\n')}`);
  // Checks count as one each. This plain form is what scripts that run us look for.
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return ok ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 64;
}
