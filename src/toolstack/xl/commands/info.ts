/** `xl info` */
import type { HostSummary } from '../../daemon/protocol.ts';
import { readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { has, arguments: given } = await readArguments(invocation, { short: 'n', long: { numa: 'n' } }, 0);
  const client = await invocation.daemon();
  const host = await client.call('info', {});
  const [only] = has('n') ? [] : given;
  if (only === undefined) {
    invocation.out([...machine(host).map(line), has('n') ? topology(host) : '', ...xen(host).map(line)].join(''));
    return 0;
  }
  // One piece of information, chosen by how its line begins.
  for (const [name, value] of [...machine(host), ...xen(host)]) {
    if (line([name, value]).startsWith(only)) invocation.out(`${value}\n`);
  }
  return 0;
}

type Row = readonly [name: string, value: string | number];

function line([name, value]: Row): string {
  return `${name.padEnd(23)}: ${value}\n`;
}

function mebibytes(pages: number, pageSize: number): number {
  return Math.floor(pages / ((1 << 20) / pageSize));
}

function machine(host: HostSummary): readonly Row[] {
  const khz = host.cpuKhz;
  return [
    ['host', host.host],
    ['release', host.release],
    ['version', host.version],
    ['machine', host.machine],
    ['nr_cpus', host.nrCpus],
    ['max_cpu_id', host.maxCpuId],
    ['nr_nodes', host.nrNodes],
    ['cores_per_socket', host.coresPerSocket],
    ['threads_per_core', host.threadsPerCore],
    ['cpu_mhz', `${Math.floor(khz / 1000)}.${String(Math.floor(khz % 1000)).padStart(3, '0')}`],
    [
      'hw_caps',
      Array.from({ length: 8 }, (_, i) => ((host.hwCap[i] ?? 0) >>> 0).toString(16).padStart(8, '0')).join(':'),
    ],
    ['virt_caps', host.virtCaps.join(' ')],
    ['total_memory', mebibytes(host.totalPages, host.pageSize)],
    ['free_memory', mebibytes(host.freePages - host.outstandingPages, host.pageSize)],
    ['sharing_freed_memory', 0],
    ['sharing_used_memory', 0],
    ['outstanding_claims', mebibytes(host.outstandingPages, host.pageSize)],
    ['free_cpus', host.freeCpus],
  ];
}

function xen(host: HostSummary): readonly Row[] {
  return [
    ['xen_major', host.xenMajor],
    ['xen_minor', host.xenMinor],
    ['xen_extra', host.xenExtra],
    ['xen_version', `${host.xenMajor}.${host.xenMinor}${host.xenExtra}`],
    ['xen_caps', host.xenCaps],
    ['xen_scheduler', host.scheduler],
    ['xen_pagesize', host.pageSize],
    ['platform_params', `virt_start=${host.virtStart}`],
    ['xen_changeset', host.changeset],
    ['xen_commandline', host.commandLine],
    ['cc_compiler', host.compiler],
    ['cc_compile_by', host.compileBy],
    ['cc_compile_domain', host.compileDomain],
    ['cc_compile_date', host.compileDate],
    ['build_id', host.buildId],
    ['xend_config_format', 4],
  ];
}

/** `-n`: one node, one socket. */
function topology(host: HostSummary): string {
  const number = (value: number): string => String(value).padStart(4);
  const cpus = Array.from({ length: host.nrCpus }, (_, cpu) => {
    const core = Math.floor(cpu / Math.max(1, host.threadsPerCore));
    return `${String(cpu).padStart(3)}:    ${number(core)}     ${number(0)}     ${number(0)}\n`;
  });
  const size = String(mebibytes(host.totalPages, host.pageSize)).padStart(6);
  const free = String(mebibytes(host.freePages, host.pageSize)).padStart(6);
  return [
    'cpu_topology           :\ncpu:    core    socket     node\n',
    ...cpus,
    'device topology        :\ndevice           node\nNo device topology data available\n',
    'numa_info              :\nnode:    memsize    memfree    distances\n',
    `${number(0)}:    ${size}     ${free}      10\n`,
  ].join('');
}
