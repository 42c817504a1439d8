import { parseArgs } from 'node:util';
import { allSamples, checkForms, type Runner } from './check.ts';
import { describeMismatch, type Mismatch, setPristine } from './compare.ts';
import { Mode, pristineImage } from './layout.ts';
import { buildHarness, NativeProcessor } from './native.ts';
import { OurProcessor } from './ours.ts';
import { describeCase, describeOutcome } from './report.ts';
import { caseOf } from './written-case.ts';

const USAGE = `Runs instructions on the real processor and on ours.

  node src/cpu/oracle/cli.ts [--form REGEX] [--cases N] [--seed S] [--show N] [--all]

compares N cases of every form whose name (ADD) or title (ADD 00 /r Eb,Gb m) matches; --all goes on after the first few forms that differ,
--show tells how many cases of each form are printed.

  node src/cpu/oracle/cli.ts --bytes '48 01 d8' [NAME=VALUE...]

runs these bytes on both.

NAME is a general register, rflags, fsbase, gsbase, mxcsr, fcw, fsw, tags (1 bit for each full Rn), xmm0...xmm15 and st0...st7 (hexadecimal,
highest byte first), or a memory address such as 0x20000000 (hexadecimal bytes in memory order). Mapped: 20000000-20001fff and 20003000-20003fff
read-write, 20004000-20004fff read-only, 30000000-30001fff stack, 90000000-90000fff, 500020000000-500020000fff.

  --compat   run in compatibility mode`;

/** Mismatches of one kind probably have one cause: another exception, or the same parts of the state of the same instruction. */
function kindOf(m: Mismatch): string {
  const stop = m.differences.find((d) => d.part === 'stop');
  if (stop) return `${stop.native.replace(/ at .*/, '')} / ours: ${stop.ours.replace(/ at .*/, '')}`;
  const parts = new Set(
    m.differences.map((d) => d.part.replace(/^\[.*/, 'memory').replace(/^(xmm|st|r)(\d+|[abcd]x|[sd]i|[bs]p)$/, '$1n')),
  );
  return `${m.sample.of.name}: ${[...parts].join(' ')}`;
}

/** Compares forms and prints what differs. */
function compareForms(
  native: Runner,
  o: { form: string; cases: number; seed: number; show: number; all: boolean },
): number {
  setPristine(pristineImage());
  const byTitle = /[\s/]/.test(o.form);
  const pattern = new RegExp(byTitle ? o.form : `^(${o.form})$`);
  const samples = allSamples().filter((s) => pattern.test(byTitle ? s.title : s.name));
  if (samples.length === 0) {
    console.error(`No form matches ${o.form}.`);
    return 2;
  }
  const ours = new OurProcessor();
  let cases = 0;
  let wrong = 0;
  let wrongForms = 0;
  const summary: string[] = [];
  const kinds = new Map<string, { cases: number; forms: Set<string>; names: Set<string>; example: Mismatch }>();
  for (const r of checkForms(samples, o.cases, o.seed, native, ours)) {
    cases += r.cases;
    if (r.mismatches.length === 0) continue;
    wrong += r.mismatches.length;
    wrongForms++;
    summary.push(`${String(r.mismatches.length).padStart(5)} of ${r.cases}  ${r.sample.title}`);
    for (const m of r.mismatches.slice(0, o.show)) console.log(`${describeMismatch(m)}\n`);
    for (const m of r.mismatches) {
      const kind = kindOf(m);
      const known = kinds.get(kind) ?? { cases: 0, forms: new Set(), names: new Set(), example: m };
      known.cases++;
      known.forms.add(m.sample.of.title);
      known.names.add(m.sample.of.name);
      kinds.set(kind, known);
    }
    if (!o.all && wrongForms >= 8) break;
  }
  if (summary.length > 0) console.log(summary.join('\n'));
  for (const [kind, k] of [...kinds].sort((a, b) => b[1].cases - a[1].cases).slice(0, 40)) {
    console.log(
      `${String(k.cases).padStart(6)} cases, ${k.forms.size} forms: ${kind}   (${[...k.names].slice(0, 6).join(' ')}${k.names.size > 6 ? ' …' : ''})`,
    );
  }
  console.log(
    `${samples.length} forms, ${cases} cases: ${wrong === 0 ? 'all agree' : `${wrong} cases of ${wrongForms} forms differ`}`,
  );
  return wrong === 0 ? 0 : 1;
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      form: { type: 'string', default: '.*' },
      cases: { type: 'string', default: '300' },
      seed: { type: 'string', default: '1' },
      show: { type: 'string', default: '1' },
      all: { type: 'boolean', default: false },
      bytes: { type: 'string' },
      compat: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const binary = buildHarness();
  if (!binary) {
    console.error('The oracle needs an x86-64 Linux machine with a C compiler (cc).');
    return 2;
  }
  const native = new NativeProcessor(binary);
  if (!values.bytes) {
    return compareForms(native, {
      form: values.form,
      cases: Number(values.cases),
      seed: Number(values.seed),
      show: Number(values.show),
      all: values.all,
    });
  }
  const c = caseOf(values.bytes, positionals, values.compat ? Mode.compat32 : Mode.long64);
  const [theirs] = native.run([c]);
  console.log(describeCase(c));
  if (theirs) console.log(`processor: ${describeOutcome(c, theirs)}`);
  console.log(`ours: ${describeOutcome(c, new OurProcessor().runOne(c))}`);
  return 0;
}

process.exitCode = main();
