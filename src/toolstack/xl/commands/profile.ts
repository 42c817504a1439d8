/** `xl profile`, which Xen's xl does not have: where a domain spends its instructions and its time. */
import { formatJson, type JsonObject } from '../../config/json.ts';
import type { ProfileSummary } from '../../daemon/protocol.ts';
import type { ProfiledFunction } from '../../domain/profile.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';

const rules = { short: 't:n:j', long: { time: 't:', top: 'n:', json: 'j' } };
const seconds = { usual: 5, least: 0.1, most: 600 } as const;
const top = { usual: 20, least: 1, most: 1000 } as const;
const PROGRESS_MS = 1000;

export async function run(invocation: Invocation): Promise<number> {
  const { has, valueOf, arguments: given } = await readArguments(invocation, rules, 1);
  const time = number(valueOf('t'), seconds);
  const most = number(valueOf('n'), top);
  if (time === undefined || most === undefined || !Number.isInteger(most)) {
    const { out, err } = invocation;
    err(
      time === undefined
        ? `-t takes ${seconds.least} to ${seconds.most} seconds.\n`
        : `--top takes a whole number from ${top.least} to ${top.most}.\n`,
    );
    await printHelp({ out }, invocation.name);
    return 2;
  }
  const domid = await findDomain(invocation, given[0] ?? '');
  const client = await invocation.daemon();
  const endProgress = showProgress(process.stderr, time);
  let profile: ProfileSummary | undefined;
  await attempt(invocation, async () => {
    try {
      profile = await client.call('profile', { domid, milliseconds: Math.round(time * 1000), top: most });
    } finally {
      endProgress();
    }
  });
  if (profile === undefined) return 1;
  invocation.out(has('j') ? `${formatJson(profile as unknown as JsonObject)}\n` : report(profile));
  return 0;
}

function number(
  text: string | undefined,
  { usual, least, most }: { readonly usual: number; readonly least: number; readonly most: number },
): number | undefined {
  if (text === undefined) return usual;
  const value = /^[0-9.]+$/.test(text) ? Number(text) : NaN;
  return value >= least && value <= most ? value : undefined;
}

/** On a terminal, how long it will be. */
function showProgress(stream: NodeJS.WriteStream, time: number): () => void {
  if (!stream.isTTY) return () => undefined;
  const begun = performance.now();
  const show = (): void => {
    const left = Math.max(0, Math.ceil(time - (performance.now() - begun) / 1000));
    stream.write(`\r\x1b[Klooking at the domain: ${left} s left`);
  };
  show();
  const timer = setInterval(show, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    stream.write('\r\x1b[K');
  };
}

/** What a person calls the exits of src/cpu/exits.ts, the ones that leave the processor first. */
const exitTitles: readonly (readonly [name: string, title: string])[] = [
  ['Syscall', 'hypercalls and system calls'],
  ['Exception', 'exceptions and page faults'],
  ['Privileged', 'privileged instructions'],
  ['Cpuid', 'cpuid'],
  ['SoftwareInterrupt', 'software interrupts'],
  ['Sysenter', 'sysenter'],
  ['Interrupt', 'events and requests from outside'],
  ['Budget', 'ends of a time slice'],
  ['Decode', 'blocks of code met for the first time'],
  ['Segment', 'loads of segment registers'],
  ['Step', 'instructions left out of translated code'],
];

export function report(profile: ProfileSummary): string {
  const { domid, name, instructions, runningSeconds, hypervisorSeconds, samples, vcpus, translator } = profile;
  const { translatedSamples, lostSamples, sampleInterval } = profile;
  const time = Math.max(profile.seconds, 1e-3);
  const lines = [
    `${name} (domain ${domid}) for ${time.toFixed(1)} s, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}`,
    '',
    row('guest instructions', whole(instructions), `${(instructions / time / 1e6).toFixed(1)} million/s`),
    ...(samples === 0
      ? []
      : [
          row('  translated', percent(translatedSamples, samples)),
          row('  interpreted', percent(samples - translatedSamples, samples)),
        ]),
    row(
      'time of its vCPUs',
      `${runningSeconds.toFixed(2)} s`,
      `${percent(runningSeconds, time * vcpus)} of what they could have`,
    ),
    row(
      '  in the hypervisor',
      percent(Math.min(hypervisorSeconds, runningSeconds), runningSeconds),
      'for exits, estimated',
    ),
    '',
    row('translated regions', whole(translator.regions)),
    row('  waiting for the compiler', whole(translator.waiting)),
    row('  compiled meanwhile', whole(translator.compiled)),
    row('  given up meanwhile', whole(translator.dropped), 'their code was changed, or others needed the room'),
    '',
    'exits a second',
    ...exits(profile, time),
    '',
  ];
  if (samples === 0) return [...lines, 'It executed too little for a sample.', ''].join('\n');
  const lost = lostSamples > 0 ? `, ${whole(lostSamples)} more were lost` : '';
  return [
    ...lines,
    `${whole(samples)} samples, one for each ${whole(sampleInterval)} instructions${lost}`,
    `${'share'.padStart(7)}  ${'translated'.padStart(10)}  function`,
    ...profile.functions.map((found) => functionLine(found, samples)),
    ...(profile.symbols || profile.functions.every(({ where }) => where !== 'kernel')
      ? []
      : [
          '',
          `The kernel has no table of symbols that could be read here, so these are addresses, to the next lower multiple of 256.`,
        ]),
    '',
  ].join('\n');
}

function exits({ exits }: ProfileSummary, time: number): string[] {
  const known = new Set(exitTitles.map(([name]) => name));
  const others = Object.keys(exits).flatMap((name) => (known.has(name) ? [] : [[name, name] as const]));
  const lines = [...exitTitles, ...others].flatMap(([name, title]) => {
    const count = exits[name] ?? 0;
    return count === 0 ? [] : [row(`  ${title}`, whole(count / time))];
  });
  return lines.length === 0 ? [row('  none', '0')] : lines;
}

function functionLine({ where, name, address, samples, translatedSamples }: ProfiledFunction, all: number): string {
  const what = where === 'user' ? 'user mode' : where === 'other' ? 'elsewhere' : (name ?? address ?? 'somewhere');
  return `${percent(samples, all).padStart(7)}  ${percent(translatedSamples, samples).padStart(10)}  ${what}`;
}

function row(title: string, value: string, more = ''): string {
  return `${title.padEnd(42)}${value.padStart(16)}${more === '' ? '' : `   ${more}`}`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function percent(part: number, of: number): string {
  return of > 0 ? `${((part / of) * 100).toFixed(1)} %` : '-';
}
