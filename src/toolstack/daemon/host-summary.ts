/** The host as `xl info` shows it. */
import { cpus, hostname, machine, release, version } from 'node:os';
import type { HypervisorControl, PhysInfo } from '../../hypervisor/control.ts';
import type { HostSummary } from './protocol.ts';

export function hostSummary(hypervisor: HypervisorControl, freeCpus: number): HostSummary {
  const physical = hypervisor.physInfo();
  const { capabilities: can } = physical;
  const xen = hypervisor.version;
  return {
    host: hostname(),
    release: release(),
    version: version(),
    machine: machine(),
    nrCpus: physical.nrCpus,
    maxCpuId: physical.maxCpuId,
    nrNodes: physical.nrNodes,
    coresPerSocket: physical.coresPerSocket,
    threadsPerCore: physical.threadsPerCore,
    cpuKhz: cpuKhz(physical),
    hwCap: physical.hwCap,
    virtCaps: [
      ...(can.pv ? ['pv'] : []),
      ...(can.hvm ? ['hvm'] : []),
      ...(can.hvm && can.directIo ? ['hvm_directio'] : []),
      ...(can.pv && can.directIo ? ['pv_directio'] : []),
      ...(can.hap ? ['hap'] : []),
      ...(can.shadow ? ['shadow'] : []),
      ...(can.grantV1 ? ['gnttab-v1'] : []),
      ...(can.grantV2 ? ['gnttab-v2'] : []),
    ],
    totalPages: physical.totalPages,
    freePages: physical.freePages,
    outstandingPages: physical.outstandingPages,
    freeCpus,
    xenMajor: xen.major,
    xenMinor: xen.minor,
    xenExtra: xen.extraVersion,
    xenCaps: xen.capabilities,
    scheduler: xen.scheduler,
    pageSize: xen.pageSize,
    virtStart: xen.virtStart,
    changeset: xen.changeset,
    commandLine: xen.commandLine,
    compiler: xen.compiler,
    compileBy: xen.compileBy,
    compileDomain: xen.compileDomain,
    compileDate: xen.compileDate,
    buildId: xen.buildId,
  };
}

/** Of the processors that the host runs on, where the hypervisor knows none of its own. */
export function cpuKhz(physical: PhysInfo): number {
  return physical.cpuKhz === 0 ? (cpus()[0]?.speed ?? 0) * 1000 : physical.cpuKhz;
}
