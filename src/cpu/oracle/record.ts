/** Writes recorded.bin.gz: run it on a machine with a C compiler after instruction tables or the generator have changed. */
import { writeFileSync } from 'node:fs';
import { allSamples } from './check.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { encodeRecording, RECORDED_CASES, recordedCases, RECORDING_FILE } from './recorded.ts';

const binary = buildHarness();
if (!binary) throw new Error('recording needs an x86-64 Linux machine with a C compiler (cc)');
const native = new NativeProcessor(binary);
const samples = allSamples();
const cases = samples.map(recordedCases);
const outcomes = native.run(cases.flat());
const forms = samples.map((sample, i) => ({
  sample,
  cases: cases[i] ?? [],
  outcomes: outcomes.slice(i * RECORDED_CASES, (i + 1) * RECORDED_CASES),
}));
const file = encodeRecording(forms);
writeFileSync(RECORDING_FILE, file);
console.log(`${samples.length} forms, ${outcomes.length} cases, ${file.length} bytes`);
