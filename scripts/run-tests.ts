/** Runs test files in the order in which they are given, shows the report as it comes, and counts. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** How test files are run. */
export interface TestLimits {
  readonly concurrency: number;
  /** For the whole run: a test that hangs must not hang whoever waits for it. Enough for a machine five times slower than the usual one. */
  readonly minutes: number;
  readonly env?: Readonly<Record<string, string>>;
}

export function runTests(
  cwd: string,
  files: readonly string[],
  limits: TestLimits,
): Promise<{ ok: boolean; counts: TestCounts }> {
  return new Promise((resolve, reject) => {
    const args = [join(import.meta.dirname, 'test-files.ts'), `${limits.concurrency}`, ...files];
    const color = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
    const child = spawn(process.execPath, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...color, ...limits.env },
      detached: true, // a process group of its own, so that the limit ends the test files' processes too
    });
    const stop = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL');
    const timer = setTimeout(() => {
      console.log(`✖ not done after ${limits.minutes} minutes, stopped`);
      stop();
    }, limits.minutes * 60_000);
    const interrupted = () => {
      stop();
      process.exit(130);
    };
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);

    let tail = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      process.stdout.write(text);
      tail = (tail + text).slice(-1_000_000);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      resolve({ ok: code === 0, counts: countsIn(stripVTControlCharacters(tail)) });
    });
  });
}

/** From the report's closing lines: `ℹ pass 14`. */
export function countsIn(report: string): TestCounts {
  const closing = report.slice(Math.max(0, report.lastIndexOf('ℹ tests ')));
  const count = (word: string) => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(closing)?.[1] ?? 0);
  return {
    passed: count('pass'),
    failed: count('fail') + count('cancelled'),
    skipped: count('skipped') + count('todo'),
  };
}
