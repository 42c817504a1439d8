/**
 * `xl sched-rtds`. As in Debian's Xen there is no real-time scheduler, so no CPU pool has it: lists are empty, and what is asked of a domain
 * is refused. Options are checked in xl's order (xen/tools/xl/xl_sched.c).
 */
import { libxlLine } from '../../domain/libxl-error.ts';
import { Exit, findDomain, readArguments, type Invocation } from '../command.ts';
import { domainRow, poolsOf } from '../scheduling-table.ts';

const long = { domain: 'd:', period: 'p:', budget: 'b:', extratime: 'e:', vcpuid: 'v:', cpupool: 'c:' };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { options, valueOf, has } = await readArguments(invocation, { short: 'd:p:b:e:v:c', long }, 0);
  const all = (letter: string): readonly (string | undefined)[] =>
    options.flatMap((option) => ('letter' in option && option.letter === letter ? [option.value] : []));
  const [periods, budgets, extratimes] = [all('p'), all('b'), all('e')];
  const vcpus = all('v').filter((value) => value !== 'all');
  const every = all('v').includes('all');
  const sets = periods.length + budgets.length + extratimes.length > 0;
  const refuse = (line: string): never => {
    err(line);
    throw new Exit(1);
  };
  if (extratimes.some((value) => value !== '0' && value !== '1')) refuse('Invalid extratime.');
  const pool = valueOf('c');
  if (pool !== undefined && (has('d') || sets || has('v')))
    refuse('Specifying a cpupool is not allowed with other options.');
  if (!has('d') && (sets || vcpus.length > 0)) refuse('Missing parameters.');
  if (has('d') && !has('v') && sets) refuse('Must specify VCPU.');
  if (vcpus.length > 0 && every) refuse('Incorrect VCPU IDs.');
  const short = [periods, budgets, extratimes].some((list) => list.length > 0 && vcpus.length > list.length);
  if (short || periods.length !== budgets.length || periods.length !== extratimes.length)
    refuse('Incorrect number of period, budget and extratime');
  const domain = valueOf('d');
  if (domain === undefined) {
    await poolsOf(invocation, 'rtds', pool);
    return 0;
  }
  const domid = await findDomain(invocation, domain);
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  if (!has('v')) {
    out(`${'Name'.padEnd(33)} ${'ID'.padStart(4)} ${'Period'.padStart(9)} ${'Budget'.padStart(9)}  Extratime\n`);
    return (await domainRow(invocation, 'rtds', domid)) ? 0 : 1;
  }
  if (!sets) {
    const heads = `${'ID'.padStart(4)} VCPU ${'Period'.padStart(9)} ${'Budget'.padStart(9)}  Extratime`;
    out(`${'Name'.padEnd(33)} ${heads}\n`);
    err(
      libxlLine('libxl_vcpu_sched_params_get', `${prefix}per-VCPU parameter getting not supported for this scheduler`),
    );
    err(every ? 'libxl_vcpu_sched_params_get_all failed.' : 'libxl_vcpu_sched_params_get failed.');
    return 1;
  }
  err(libxlLine('sched_rtds_vcpu_set', `${prefix}Setting vcpu sched rtds: Invalid argument`));
  err(every ? 'libxl_vcpu_sched_params_set_all failed.' : 'libxl_vcpu_sched_params_set failed.');
  return 1;
}
