/** `xl vcpu-set` */
import { strtol } from '../../config/numbers.ts';
import { libxlErrors } from '../../domain/libxl-error.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

const intMax = 2 ** 31 - 1;

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { has, arguments: given } = await readArguments(invocation, { short: 'i', long: { 'ignore-host': 'i' } }, 2);
  const [domain = '', count = ''] = given;
  const domid = await findDomain(invocation, domain);
  const { value: vcpus, end } = strtol(count, 10);
  // strtoul(3): less than nothing is a lot.
  if (end === 0 || vcpus < 0 || vcpus > intMax) {
    err('Error: Invalid argument.');
    return 1;
  }
  const client = await invocation.daemon();
  if (!has('i')) {
    const { nrCpus } = await client.call('info', {});
    const { domains } = await client.call('list', { domid });
    const online = domains[0]?.vcpusOnline;
    if (online === undefined) return 1;
    if (vcpus > online && vcpus > nrCpus) {
      err(
        `You are overcommmitting! You have ${nrCpus} physical CPUs and want ${vcpus} vCPUs! Aborting, use --ignore-host to continue`,
      );
      return 1;
    }
  }
  const failure = await attempt(invocation, () => client.call('setVcpus', { domid, vcpus }));
  if (failure === undefined) return 0;
  err(
    failure === libxlErrors.DOMAIN_NOTFOUND
      ? `Domain ${domid} does not exist.`
      : `libxl_set_vcpuonline failed domid=${domid} max_vcpus=${vcpus}, rc: ${failure}`,
  );
  return 1;
}
