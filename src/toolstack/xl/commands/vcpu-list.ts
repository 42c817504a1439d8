/** `xl vcpu-list` */
import type { VcpuSummary } from '../../daemon/protocol.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 0);
  const head = ['Name'.padEnd(32), 'ID', 'VCPU', 'CPU', 'State'].map((title, index) =>
    index === 0 ? title : title.padStart(5),
  );
  invocation.out(`${head.join(' ')} ${'Time(s)'.padStart(9)} Affinity (Hard / Soft)\n`);
  const client = await invocation.daemon();
  if (given.length === 0) {
    const { vcpus } = await client.call('vcpus', {});
    invocation.out(vcpus.map(row).join(''));
  }
  for (const name of given) {
    const domid = await findDomain(invocation, name);
    const { vcpus } = await client.call('vcpus', { domids: [domid] });
    invocation.out(vcpus.map(row).join(''));
  }
  return 0;
}

/** Every vCPU may run on every processor: the host's scheduler places the workers. */
const affinity = 'all / all';

function row({ name, domid, vcpu, cpu, online, running, blocked, cpuTimeNs }: VcpuSummary): string {
  const place = online
    ? `${String(cpu).padStart(5)} ${(running ? 'r' : '-').padStart(3)}${blocked ? 'b' : '-'}- `
    : `${'-'.padStart(5)} ${'-'.padStart(3)}-p `;
  const time = (cpuTimeNs / 1e9).toFixed(1).padStart(9);
  return `${name.padEnd(32)} ${String(domid).padStart(5)} ${String(vcpu).padStart(5)} ${place}${time}  ${affinity}\n`;
}
