/** CPU pools on command lines of xl. */
import { ConfigError } from '../config/config-error.ts';
import { parseCpuRange } from '../config/cpu-range.ts';
import type { Methods } from '../daemon/protocol.ts';
import { Exit, type Invocation } from './command.ts';

export type CpuPoolList = Methods['cpuPools']['result'];

export async function cpuPools(invocation: Invocation): Promise<CpuPoolList> {
  const client = await invocation.daemon();
  return client.call('cpuPools', {});
}

/** libxl_cpupool_qualifier_to_cpupoolid: a number, or else a name. Ends the command where there is no such pool. */
export async function findPool(invocation: Invocation, text: string): Promise<CpuPoolList['pools'][number]> {
  const { pools } = await cpuPools(invocation);
  const found = /^[0-9]+$/.test(text)
    ? pools.find(({ poolid }) => poolid === Number(text))
    : pools.find(({ name }) => name === text);
  if (found !== undefined) return found;
  invocation.err(`unknown cpupool '${text}'`);
  throw new Exit(1);
}

/** Ends the command where the text is no set of processors. */
export function readCpus({ err }: Invocation, text: string, cpus: number): readonly number[] {
  try {
    return parseCpuRange(text, { cpus });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(error.message);
    throw new Exit(1);
  }
}

/** A set of processors as xl prints it: `0-2,5`, `all`, `none`. */
export function formatCpus(set: 'all' | readonly number[], cpus: number): string {
  if (set === 'all' || set.length === cpus) return 'all';
  if (set.length === 0) return 'none';
  const ranges: string[] = [];
  for (let at = 0; at < set.length; at++) {
    const first = set[at] ?? 0;
    let last = first;
    while (set[at + 1] === last + 1) last = set[++at] ?? 0;
    ranges.push(first === last ? String(first) : `${first}-${last}`);
  }
  return ranges.join(',');
}
