/** Sets of processors as `cpus=` writes them: `0-3,^2,node:0,all` (xl.cfg(5), "cpus"). */
import { ConfigError } from './config-error.ts';

/** libxl's "any processor": printed as a bitmap of all that the host has. */
export interface CpuRangeHost {
  readonly cpus: number;
}

export function parseCpuRange(text: string, host: CpuRangeHost): readonly number[] {
  const set = new Set<number>();
  for (const part of text.split(',').filter((piece) => piece !== '')) addPart(part, host, set);
  return [...set].sort((a, b) => a - b);
}

function addPart(part: string, host: CpuRangeHost, set: Set<number>): void {
  const match = /^(\^?)((?:nodes?:)?)(.*)$/s.exec(part);
  const [, not = '', nodes = '', range = ''] = match ?? [];
  if (range === 'all') {
    if (not !== '') throw new ConfigError('Can\'t combine "^" and "all".');
    for (let cpu = 0; cpu < host.cpus; cpu++) set.add(cpu);
    return;
  }
  const numbers = /^\s*(\d+)(?:-\s*(\d+))?$/.exec(range);
  const first = Number(numbers?.[1] ?? Number.NaN);
  const last = numbers?.[2] === undefined ? first : Number(numbers[2]);
  if (numbers === null || last < first) throw new ConfigError(`Invalid pcpu range: ${range}.`);
  if (nodes !== '') {
    // The host has one NUMA node.
    if (first > 0 || last > 0) throw new ConfigError('libxl_node_to_cpumap failed.');
    for (let cpu = 0; cpu < host.cpus; cpu++) change(set, cpu, not);
    return;
  }
  // A processor that does not exist does not fit in libxl's bitmap and is silently left out.
  for (let cpu = first; cpu <= Math.min(last, host.cpus - 1); cpu++) change(set, cpu, not);
}

function change(set: Set<number>, cpu: number, not: string): void {
  if (not === '') set.add(cpu);
  else set.delete(cpu);
}
