import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { growthPerMinute } from './growth.ts';
import { jobs, loadScript, readCounts } from './load.ts';

const samples = (...values: number[]): { minutes: number; value: number }[] =>
  values.map((value, minutes) => ({ minutes, value }));

describe('growth', () => {
  it('is the slope of a line', () => assert.equal(growthPerMinute(samples(10, 13, 16, 19)), 3));
  it('is not what goes up and down', () => assert.equal(growthPerMinute(samples(10, 20, 20, 10)), 0));
  it('is not known from one sample', () => assert.equal(growthPerMinute(samples(10)), undefined));
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
