/**
 * npm run bench [-- --json] [name…]: measures the rows named, or all. A name may be the beginning of one: `cpu` is all of `cpu.*`.
 * Progress goes to stderr, the result to stdout: a table, or with --json an array of {name, unit, value, peers}.
 */
import { parseArgs } from 'node:util';
import { closeGuest } from './guest/boots.ts';
import type { Row } from './row.ts';
import { rows } from './rows.ts';
import { XenError } from '../src/toolstack/xen-error.ts';

export interface Result {
  readonly name: string;
  readonly unit: string;
  /** null: could not be measured here; the reason is on stderr. */
  readonly value: number | null;
  readonly peers: Readonly<Record<string, number>>;
}

async function measure(row: Row): Promise<Result> {
  const note = (text: string) => process.stderr.write(`${row.name}: ${text}\n`);
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

/** With the hint that a XenError has for a person: which package to install, say. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof XenError && error.hint !== undefined ? ` (${error.hint})` : '';
  return error.message + hint;
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

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean' } } });
  const matches = (name: string, wanted: string) => name === wanted || name.startsWith(`${wanted}.`);
  const unknown = positionals.filter((wanted) => !rows.some((row) => matches(row.name, wanted)));
  if (unknown.length) {
    console.error(`bench: no row "${unknown.join('", "')}"; there are: ${rows.map((row) => row.name).join(', ')}`);
    return 64;
  }
  const chosen = rows.filter((row) => !positionals.length || positionals.some((wanted) => matches(row.name, wanted)));
  const results: Result[] = [];
  try {
    for (const row of chosen) results.push(await measure(row));
  } finally {
    await closeGuest();
  }
  console.log(values.json ? JSON.stringify(results, null, 2) : asTable(results));
  return results.every((result) => result.value !== null) ? 0 : 1;
}

process.exitCode = await main();
