/** `xl vcpu-pin` */
import { strtol } from '../../config/numbers.ts';
import type { Affinity } from '../../scheduler/scheduling.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';
import { cpuPools, formatCpus, readCpus } from '../cpu-pools.ts';

const long = { force: 'f', 'ignore-global-affinity-masks': 'i' };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err, globals } = invocation;
  const { has, arguments: given } = await readArguments(invocation, { short: 'fi', long }, 3);
  const [domain = '', vcpu = '', hardText = '', softText = '-'] = given;
  const domid = await findDomain(invocation, domain);
  const read = strtol(vcpu, 10);
  const every = read.end === 0 || read.value < 0;
  if (every && vcpu !== 'all') return refuse(invocation, `Error: Invalid argument ${vcpu} as VCPU.`);
  if (every && has('f')) return refuse(invocation, "Error: --force and 'all' as VCPU not allowed.");
  const { cpus } = await cpuPools(invocation);
  // `-` leaves it as it is.
  const set = (text: string): Affinity | undefined => (text === '-' ? undefined : readCpus(invocation, text, cpus));
  const [hard, soft] = [set(hardText), set(softText)];
  if (globals.dryRun) {
    const [first, second] = [hard, soft].map((each) => (each === undefined ? undefined : formatCpus(each, cpus)));
    out(`cpumap: ${first ?? '-'}${second === undefined ? '' : ` ${second}`}\n`);
    return 0;
  }
  const client = await invocation.daemon();
  const { vcpus } = await client.call('vcpus', { domids: [domid] });
  if (!has('i') && hard !== undefined) {
    if (vcpus.length === 0) return refuse(invocation, 'Could not get domain info');
    // The masks of xl.conf have every processor of the host.
    if (hard.length === 0) return refuse(invocation, 'vcpu hard affinity map is empty');
  }
  const wanted = { ...(hard === undefined ? {} : { hard }), ...(soft === undefined ? {} : { soft }) };
  const pin = (number: number): Promise<number | undefined> =>
    hard === undefined && soft === undefined && !has('f')
      ? Promise.resolve(-6)
      : attempt(invocation, () => client.call('pinVcpu', { domid, vcpu: number, ...wanted }));
  if (!every) {
    if ((await pin(read.value)) === undefined) return 0;
    return refuse(invocation, `Could not set affinity for vcpu \`${read.value}'.`);
  }
  if (vcpus.length === 0) return refuse(invocation, 'libxl_list_vcpu failed.');
  let failed = false;
  for (const { vcpu: number } of vcpus) if ((await pin(number)) !== undefined) failed = true;
  if (failed) err('Could not set affinity.');
  return 0;
}

function refuse({ err }: Invocation, line: string): number {
  err(line);
  return 1;
}
