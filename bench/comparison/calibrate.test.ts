import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { calibrate } from './calibrate.ts';

describe('calibration', () => {
  /** Runs of a machine that does `rate` of work a second. */
  const runs: number[] = [];
  const machine = (rate: number) => {
    runs.length = 0;
    return (amount: number): Promise<number> => {
      runs.push(amount);
      return Promise.resolve(amount / rate);
    };
  };

  it('finds the amount that takes as long as is wanted', async () => {
    assert.equal(await calibrate(machine(1000), 1, 1.5), 1500);
    assert.deepEqual(runs, [1, 20, 400, 1500]);
  });

  it('stops at the first amount that takes long enough', async () => {
    assert.equal(await calibrate(machine(1), 2, 1.5), 2);
    assert.deepEqual(runs, [2]);
  });

  it('goes on until a machine that is slow at first has become fast', async () => {
    const warm = machine(1000);
    const run = async (amount: number): Promise<number> => (await warm(amount)) + (runs.length < 4 ? 0.5 : 0);
    assert.equal(await calibrate(run, 1, 1), 1000);
  });

  it('never asks for no work, and ends for a clock that stands still', async () => {
    assert.equal(await calibrate(machine(0.001), 1, 1), 1);
    assert.ok((await calibrate(machine(Infinity), 1, 1)) > 1);
    assert.ok(runs.length <= 10);
  });
});
