import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { growthOf } from './growth.ts';
import { jobs, loadScript, readCounts } from './load.ts';

const samples = (...values: number[]): { minutes: number; value: number }[] =>
  values.map((value, minutes) => ({ minutes, value }));

describe('growth', () => {
  it('is the slope of a line', () => assert.deepEqual(growthOf(samples(10, 13, 16, 19)), { perMinute: 3, error: 0 }));
  it('is not what goes up and down', () => assert.equal(growthOf(samples(10, 20, 20, 10))?.perMinute, 0));
  it('is not known from two samples', () => assert.equal(growthOf(samples(10, 20)), undefined));
  it('is told apart from noise', () => {
    // MiB beside the guest's RAM in an uneventful run: garbage comes and goes.
    const { perMinute, error } = growthOf(samples(450, 433, 409, 452, 433, 417, 481, 424)) ?? assert.fail();
    assert.ok(perMinute > 0 && perMinute < 2 * error, `${perMinute} ± ${error}`);
  });
});

describe('the load', () => {
  it('counts for each job, and tells what was wrong', () => {
    const counts = readCounts(jobs.map((_, n) => (n === 1 ? 'failed after 3: code 1' : String(n))).join('\r\n'));
    assert.deepEqual(
      counts.map(({ times }) => times),
      jobs.map((_, n) => (n === 1 ? undefined : n)),
    );
    assert.equal(counts[1]?.text, 'failed after 3: code 1');
  });

  it('starts every job', () => {
    const script = loadScript();
    for (const { name } of jobs) assert.ok(script.includes(name.replaceAll(' ', '-')), name);
  });
});
