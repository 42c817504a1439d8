/**
 * npm run bench [-- OPTION… NAME…]: measures the rows and workloads named, or all; --help tells more.
 * Progress goes to stderr, the result to stdout: tables, or with --json an array of {name, unit, value, peers}.
 */
import { bundleWhenStale } from '../scripts/bundle.ts';
import { Comparison, describe, type Compared } from './comparison/compare.ts';
import { asJson, asMarkdown, asText } from './comparison/table.ts';
import { workloads, type Workload } from './comparison/workloads.ts';
import { closeGuest } from './guest/boots.ts';
import { help } from './help.ts';
import { matches, parseOptions, type BenchOptions } from './options.ts';
import type { Peer } from './peers/peer.ts';
import { defaultPeers, peers } from './peers/peers.ts';
import type { Row } from './row.ts';
import { rows } from './rows.ts';

export interface Result {
  readonly name: string;
  readonly unit: string;
  /** null: could not be measured here; the reason is on stderr. */
  readonly value: number | null;
  readonly peers: Readonly<Record<string, number>>;
}

const EX_USAGE = 64;

const say = (text: string): boolean => process.stderr.write(`${text}\n`);

async function measure(row: Row): Promise<Result> {
  const note = (text: string) => say(`${row.name}: ${text}`);
  note(row.about);
  let value: number | null = null;
  try {
    value = rounded(await row.measure(note));
  } catch (error) {
    note(`not measured: ${describe(error)}`);
  }
  return { name: row.name, unit: row.unit, value, peers: row.peers };
}

/** Four digits say all that repeats; a whole number of bytes is exact. */
const rounded = (value: number): number => (Number.isInteger(value) ? value : Number(value.toPrecision(4)));

async function measureRows(chosen: readonly Row[]): Promise<readonly Result[]> {
  const results: Result[] = [];
  try {
    for (const row of chosen) results.push(await measure(row));
  } finally {
    await closeGuest();
  }
  return results;
}

interface Side {
  readonly results: readonly Compared[];
  /** For a person: the peers that are not there, and why. */
  readonly missing: readonly string[];
}

async function compare(chosen: readonly Workload[], among: readonly Peer[], options: BenchOptions): Promise<Side> {
  if (chosen.length === 0) return { results: [], missing: [] };
  const progress = process.stderr.isTTY ? say : () => undefined;
  const { rounds, seconds, busy } = options;
  const comparison = new Comparison(among, { rounds, seconds, busy, note: say, progress });
  const results: Compared[] = [];
  try {
    for (const workload of chosen) results.push(await comparison.measure(workload));
  } finally {
    await comparison.close();
  }
  return { results, missing: [...comparison.missing].map(([name, why]) => `${name}: ${why}`) };
}

function asTable(results: readonly Result[]): string {
  const lines = results.map(({ name, unit, value, peers }) => {
    const row = rows.find((one) => one.name === name);
    const met = row && value !== null && (row.better === 'higher' ? value >= row.goal : value <= row.goal);
    const goal = row ? `goal ${row.better === 'higher' ? '≥' : '≤'} ${row.goal}${met ? ', met' : ''}` : '';
    const others = Object.entries(peers).map(([peer, figure]) => `${peer} ${figure}`);
    return [name.padEnd(22), `${value ?? '-'}`.padStart(12), ` ${unit.padEnd(10)}`, goal.padEnd(24), others.join(', ')];
  });
  return lines.map((cells) => cells.join(' ').trimEnd()).join('\n');
}

function shown(own: readonly Result[], side: Side, among: readonly Peer[], { format }: BenchOptions): string {
  if (format === 'json') return JSON.stringify([...own, ...side.results.map(asJson)], null, 2);
  const comparison = (format === 'markdown' ? asMarkdown : asText)(side.results, among);
  const parts = [
    asTable(own),
    side.results.length > 0 ? comparison : '',
    side.missing.map((line) => `left out: ${line}`).join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

async function main(): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`bench: ${describe(error)}`);
    return EX_USAGE;
  }
  if (options.help) {
    console.log(help(rows, workloads));
    return 0;
  }
  const all = [...rows.map(({ name }) => name), ...workloads.map(({ name }) => `workload.${name}`)];
  const unknown = options.names.filter((wanted) => !all.some((name) => matches(name, wanted)));
  if (unknown.length) {
    console.error(`bench: no row "${unknown.join('", "')}"; there are: ${all.join(', ')}`);
    return EX_USAGE;
  }
  const isChosen = (name: string): boolean =>
    options.names.length === 0 || options.names.some((wanted) => matches(name, wanted));
  const with_ = options.peers ?? defaultPeers;
  const among = peers.filter(({ name }) => name === 'xenolith' || with_.includes(name));
  await bundleWhenStale();
  const own = await measureRows(rows.filter(({ name }) => isChosen(name)));
  const side = await compare(
    workloads.filter(({ name }) => isChosen(`workload.${name}`)),
    among,
    options,
  );
  console.log(shown(own, side, among, options));
  const complete =
    own.every(({ value }) => value !== null) && side.results.every(({ figures }) => figures.has('xenolith'));
  return complete ? 0 : 1;
}

process.exitCode = await main();
