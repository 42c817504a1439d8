import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, describeMismatch, setPristine } from './compare.ts';
import { pristineImage } from './layout.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { OurProcessor } from './ours.ts';
import { asSample } from './sequences.ts';
import { WRITTEN, writtenCase } from './written-cases.ts';

const binary = buildHarness();
/** Not compared after a BSF or shift among these: AF, and what BSF leaves undefined. */
const UNDEFINED = { 'BSF of zero leaves the destination': 0x895, 'smallest integer divided by -1': 0x8d5 } as const;

describe('as on the real processor:', { skip: !binary && 'no C compiler' }, () => {
  if (!binary) return;
  setPristine(pristineImage());
  const native = new NativeProcessor(binary);
  const ours = new OurProcessor();
  for (const row of WRITTEN) {
    it(row.name, () => {
      const flags = Object.entries(UNDEFINED).find(([name]) => name === row.name)?.[1] ?? 0;
      const sample = asSample(writtenCase(row), flags);
      const [theirs] = native.run([sample]);
      assert.ok(theirs);
      const mismatch = compare(sample, theirs, ours.runOne(sample));
      assert.ok(!mismatch, mismatch ? describeMismatch(mismatch) : '');
    });
  }
});
