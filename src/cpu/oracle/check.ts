import { instructionSet } from '../index.ts';
import type { Outcome } from './case-codec.ts';
import { compare, type Mismatch } from './compare.ts';
import { type FormSample, formSamples, type Row } from './form-samples.ts';
import { makeCases, type Sample } from './samples.ts';
import { NOT_COMPARED, VENDOR_SPECIFIC } from './undefined-flags.ts';

/** Anything that runs cases: the native harness, our processor, a recording. */
export interface Runner {
  run(cases: readonly Sample[]): readonly Outcome[];
}

/** The rows of our processor's instruction tables. */
export function allRows(): Row[] {
  return instructionSet().instructions.flatMap((i) =>
    i.forms.map((text) => ({ name: i.name, text, lock: i.lock === true, rep: i.rep !== undefined })),
  );
}

export const isCompared = (row: Row): boolean => !NOT_COMPARED.some((n) => n.names.test(row.name));

/** The samples of all rows that can be compared and whose instruction has this name (all when it is undefined). */
export function allSamples(name?: RegExp): FormSample[] {
  return allRows()
    .filter((row) => isCompared(row) && (name === undefined || name.test(row.name)))
    .flatMap(formSamples)
    .filter((s) => !VENDOR_SPECIFIC.test(s.title));
}

export interface FormResult {
  readonly sample: FormSample;
  readonly cases: number;
  /** Cases that ended in a trap on the processor. */
  readonly traps: number;
  readonly mismatches: readonly Mismatch[];
}

/** Runs `count` cases of each sample on both and compares. Samples are batched, as starting a runner costs time. */
export function* checkForms(
  samples: readonly FormSample[],
  count: number,
  seed: number,
  native: Runner,
  ours: Runner,
): Generator<FormResult> {
  const perBatch = Math.max(1, Math.floor(10_000 / count));
  for (let from = 0; from < samples.length; from += perBatch) {
    const batch = samples.slice(from, from + perBatch);
    const cases = batch.map((s) => makeCases(s, count, seed));
    const flat = cases.flat();
    const theirs = native.run(flat);
    const mine = ours.run(flat);
    let at = 0;
    for (const [i, sample] of batch.entries()) {
      const mismatches: Mismatch[] = [];
      let traps = 0;
      for (const c of cases[i] ?? []) {
        const a = theirs[at];
        const b = mine[at];
        at++;
        if (!a || !b) throw new Error('a runner gave too few results');
        if (a.stop === 1) traps++;
        const mismatch = compare(c, a, b);
        if (mismatch) mismatches.push(mismatch);
      }
      yield { sample, cases: count, traps, mismatches };
    }
  }
}
