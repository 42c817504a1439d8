import assert from 'node:assert/strict';
import { it } from 'node:test';
import { countsIn } from './run-tests.ts';

it('counts from the closing lines, not from what a test printed', () => {
  const report = [
    'ℹ tests 900',
    'ℹ pass 900',
    '✔ a guest that prints a report of its own (3 ms)',
    'ℹ tests 7',
    'ℹ suites 1',
    'ℹ pass 3',
    'ℹ fail 1',
    'ℹ cancelled 1',
    'ℹ skipped 1',
    'ℹ todo 1',
    'ℹ duration_ms 364',
  ].join('\n');
  assert.deepEqual(countsIn(report), { passed: 3, failed: 2, skipped: 2 });
});

it('counts nothing in a report without closing lines', () => {
  assert.deepEqual(countsIn('✖ not done after 6 minutes, stopped\n'), { passed: 0, failed: 0, skipped: 0 });
});
