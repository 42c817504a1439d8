import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { allRows, allSamples, checkForms, type FormResult, isCompared } from './check.ts';
import { compare, describeMismatch, type Mismatch, setPristine } from './compare.ts';
import { pristineImage } from './layout.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { OurProcessor } from './ours.ts';
import { recordedCases, Recording } from './recorded.ts';
import type { FormSample } from './form-samples.ts';

/** Cases of each form: half a minute in all, a minute where each is translated. Developers run more with the command line (cli.ts). */
const CASES = process.env['XENOLITH_ENGINE'] === 'eager' ? 15 : 100;
const SEED = 2;

setPristine(pristineImage());
const binary = buildHarness();
const byName = Map.groupBy(allSamples(), (s) => s.name);

function report(name: string, mismatches: readonly Mismatch[], cases: number): void {
  const first = mismatches.slice(0, 2).map(describeMismatch).join('\n\n');
  assert.equal(mismatches.length, 0, `${mismatches.length} of ${cases} cases of ${name} differ\n\n${first}\n`);
}

describe(`every instruction form does what the ${binary ? 'real processor does' : 'recorded processor did'}`, () => {
  const ours = new OurProcessor();
  let forms = 0;
  let cases = 0;
  let traps = 0;
  let stale = 0;
  if (binary) {
    const results = new Map<string, FormResult[]>();
    // All at once: one process for many forms.
    before(() => {
      const native = new NativeProcessor(binary);
      for (const r of checkForms([...byName.values()].flat(), CASES, SEED, native, ours)) {
        results.set(r.sample.name, [...(results.get(r.sample.name) ?? []), r]);
        forms++;
        cases += r.cases;
        traps += r.traps;
      }
    });
    for (const [name, samples] of byName) {
      it(`${name} agrees in all ${samples.length} forms`, () => {
        const mine = results.get(name) ?? [];
        assert.equal(mine.length, samples.length);
        report(
          name,
          mine.flatMap((r) => r.mismatches),
          mine.reduce((sum, r) => sum + r.cases, 0),
        );
      });
    }
  } else {
    const recording = new Recording();
    for (const [name, samples] of byName) {
      it(`${name} agrees with its recording`, () => {
        const mismatches: Mismatch[] = [];
        let count = 0;
        for (const sample of samples) {
          const result = recorded(sample, recording, ours);
          if (!result) stale++;
          else {
            forms++;
            count += result.cases;
            mismatches.push(...result.mismatches);
          }
        }
        cases += count;
        report(name, mismatches, count);
      });
    }
  }

  after(() => {
    const skipped = new Set(
      allRows()
        .filter((r) => !isCompared(r))
        .map((r) => r.name),
    );
    const about = binary
      ? `${traps} of them ended in an exception`
      : `recorded; ${stale} forms have no current recording`;
    console.log(
      `oracle: ${byName.size} instructions, ${forms} forms, ${cases} cases (${about}); not comparable: ${[...skipped].sort().join(' ')}`,
    );
  });
});

it('the recording is current: otherwise run record.ts', () => {
  const recording = new Recording();
  const samples = allSamples();
  const missing = samples.filter((s) => typeof recording.outcomes(s, recordedCases(s)) === 'string');
  assert.ok(
    missing.length <= samples.length / 10,
    `${missing.length} of ${samples.length} forms have no current recording`,
  );
});

/** Compares with the recording; undefined when there is no current one. */
function recorded(
  sample: FormSample,
  recording: Recording,
  ours: OurProcessor,
): { cases: number; mismatches: Mismatch[] } | undefined {
  const cases = recordedCases(sample);
  const outcomes = recording.outcomes(sample, cases);
  if (typeof outcomes === 'string') return undefined;
  const mismatches: Mismatch[] = [];
  cases.forEach((c, i) => {
    const o = outcomes[i];
    const mismatch = o && compare(c, o, ours.runOne(c));
    if (mismatch) mismatches.push(mismatch);
  });
  return { cases: cases.length, mismatches };
}
