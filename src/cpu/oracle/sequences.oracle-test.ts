import assert from 'node:assert/strict';
import { it } from 'node:test';
import { allSamples } from './check.ts';
import { compare, describeMismatch, type Mismatch, setPristine } from './compare.ts';
import { pristineImage } from './layout.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { OurProcessor } from './ours.ts';
import { makeSequences } from './sequences.ts';

const SEQUENCES = 20_000;
const binary = buildHarness();

it(
  'random sequences with branches and loops leave the state that the real processor leaves',
  { skip: !binary && 'no C compiler' },
  () => {
    if (!binary) return;
    setPristine(pristineImage());
    const cases = makeSequences(allSamples(), SEQUENCES, 3);
    const native = new NativeProcessor(binary).run(cases);
    const ours = new OurProcessor();
    const mismatches: Mismatch[] = [];
    cases.forEach((c, i) => {
      const theirs = native[i];
      const mismatch = theirs && compare(c, theirs, ours.runOne(c));
      if (mismatch) mismatches.push(mismatch);
    });
    console.log(
      `oracle: ${cases.length} sequences, ${native.filter((o) => o.stop === 1).length} of them ended in an exception`,
    );
    assert.equal(
      mismatches.length,
      0,
      `${mismatches.length} of ${cases.length} sequences differ\n\n${mismatches.slice(0, 2).map(describeMismatch).join('\n\n')}\n`,
    );
  },
);
