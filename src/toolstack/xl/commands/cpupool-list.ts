/** `xl cpupool-list` */
import { readArguments, type Invocation } from '../command.ts';
import { cpuPools } from '../cpu-pools.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { has, arguments: given } = await readArguments(invocation, { short: 'c', long: { cpus: 'c' } }, 0);
  const { pools } = await cpuPools(invocation);
  const [only] = given;
  if (only !== undefined && !pools.some(({ name }) => name === only)) {
    invocation.err(`Pool '${only}' does not exist`);
    return 1;
  }
  const listed = has('c');
  invocation.out(`${'Name'.padEnd(19)}${listed ? 'CPU list' : 'CPUs   Sched     Active   Domain count'}\n`);
  for (const { name, cpus, scheduler, domains } of pools) {
    if (only !== undefined && only !== name) continue;
    const rest = listed
      ? cpus.join(',')
      : `${pad(cpus.length, 3)} ${pad(scheduler, 9)}       y       ${pad(domains.length, 4)}`;
    invocation.out(`${name.padEnd(19)}${rest}\n`);
  }
  return 0;
}

function pad(value: string | number, width: number): string {
  return String(value).padStart(width);
}
