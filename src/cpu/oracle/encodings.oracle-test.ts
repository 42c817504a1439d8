import assert from 'node:assert/strict';
import { it } from 'node:test';
import { disassemble } from './disassemble.ts';
import { compareDecoding, makeEncodings } from './encodings.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { OurProcessor } from './ours.ts';

const ENCODINGS = 60_000;
const binary = buildHarness();

it(
  'random bytes are the same instruction, or none, as on the real processor',
  { skip: !binary && 'no C compiler' },
  () => {
    if (!binary) return;
    const cases = makeEncodings(ENCODINGS, 5);
    const native = new NativeProcessor(binary).run(cases);
    const ours = new OurProcessor();
    const found = cases.flatMap((c, i) => {
      const theirs = native[i];
      const difference = theirs && compareDecoding(c, theirs, ours.runOne(c));
      return difference ? [`${difference}   ${disassemble(c.code, c.mode)}`] : [];
    });
    console.log(
      `oracle: ${cases.length} encodings, ${native.filter((o) => o.trap === 6).length} of them no instruction`,
    );
    assert.deepEqual(found.slice(0, 20), [], `${found.length} of ${cases.length} differ`);
  },
);
