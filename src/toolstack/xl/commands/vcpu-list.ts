/** `xl vcpu-list` */
import type { VcpuSummary } from '../../daemon/protocol.ts';
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';
import { formatCpus } from '../cpu-pools.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 0);
  const head = ['Name'.padEnd(32), 'ID', 'VCPU', 'CPU', 'State'].map((title, index) =>
    index === 0 ? title : title.padStart(5),
  );
  invocation.out(`${head.join(' ')} ${'Time(s)'.padStart(9)} Affinity (Hard / Soft)\n`);
  const client = await invocation.daemon();
  if (given.length === 0) {
    const { vcpus, cpus } = await client.call('vcpus', {});
    invocation.out(vcpus.map((vcpu) => row(vcpu, cpus)).join(''));
  }
  for (const name of given) {
    const domid = await findDomain(invocation, name);
    const { vcpus, cpus } = await client.call('vcpus', { domids: [domid] });
    if (vcpus.length === 0) {
      const what = `Domain ${domid}:Getting infolist: No such file or directory`;
      invocation.err(libxlLine('libxl_list_vcpu', what));
    }
    invocation.out(vcpus.map((vcpu) => row(vcpu, cpus)).join(''));
  }
  return 0;
}

function row(summary: VcpuSummary, cpus: number): string {
  const { name, domid, vcpu, cpu, online, running, blocked, cpuTimeNs, affinity } = summary;
  const place = online
    ? `${String(cpu).padStart(5)} ${(running ? 'r' : '-').padStart(3)}${blocked ? 'b' : '-'}- `
    : `${'-'.padStart(5)} ${'-'.padStart(3)}-p `;
  const time = (cpuTimeNs / 1e9).toFixed(1).padStart(9);
  // xl writes the columns VCPU and CPU without a blank between them; their width is enough for one.
  const where = `${formatCpus(affinity.hard, cpus)} / ${formatCpus(affinity.soft, cpus)}`;
  return `${name.padEnd(32)} ${String(domid).padStart(5)} ${String(vcpu).padStart(5)}${place}${time}  ${where}\n`;
}
