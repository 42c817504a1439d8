import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import { SectorSet } from './sector-set.ts';

/** Two regions and a bit. */
const sectors = 2 * 32768 + 100;

describe('a set of sectors', () => {
  it('knows what was added, and how far that goes', () => {
    const near = fc.constantFrom(0, 7, 8, 32760, 32768, 65535, 65536, sectors - 40);
    const range = fc.record({
      at: fc.tuple(near, fc.nat(20)).map(([a, b]) => a + b),
      count: fc.integer({ min: 1, max: 40000 }),
    });
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 8 }),
        fc.array(range, { minLength: 1, maxLength: 8 }),
        (added, asked) => {
          const set = new SectorSet();
          const model = new Uint8Array(sectors);
          for (const { at, count } of added) {
            const end = Math.min(sectors, at + count);
            set.add(at * 512, (end - at) * 512);
            model.fill(1, at, end);
          }
          for (const { at, count } of asked) {
            const end = Math.min(sectors, at + count);
            assert.equal(set.has(at * 512), model[at] === 1);
            const other = model.subarray(at, end).findIndex((one) => one !== model[at]);
            assert.equal(set.run(at * 512, (end - at) * 512), (other < 0 ? end - at : other) * 512);
          }
        },
      ),
      fuzz(100),
    );
  });
});
