/** What the host, its domains and their devices have done: libxenstat's node (xen/tools/libs/stat/xenstat.c), for `xl top`. */
import type { DomainControl } from '../../hypervisor/control.ts';
import type { ServedDevice } from './backends.ts';
import { cpuKhz } from './host-summary.ts';
import type { RequestContext } from './requests.ts';
import type { DomainStatistics, HostStatistics } from './statistics-protocol.ts';

const PAGE_KIB = 4;
/** max_pages of a domain without a limit. */
const UNLIMITED = 0xffffffff;

export function hostStatistics({ hypervisor, manager, backends }: RequestContext): HostStatistics {
  const physical = hypervisor.physInfo();
  const { major, minor, extraVersion } = hypervisor.version;
  const { disks, nics } = backends;
  return {
    xenVersion: `${major}.${minor}${extraVersion}`,
    nrCpus: physical.nrCpus,
    cpuKhz: cpuKhz(physical),
    totalKiB: physical.totalPages * PAGE_KIB,
    freeKiB: physical.freePages * PAGE_KIB,
    domains: hypervisor.domains().flatMap((control) => {
      const name = manager.nameOf(control.domid);
      // As libxenstat does: one that is only just being made has no name yet.
      return name === undefined ? [] : [domainStatistics(control, name, { disks, nics })];
    }),
  };
}

function domainStatistics(
  control: DomainControl,
  name: string,
  devices: { readonly disks: readonly ServedDevice[]; readonly nics: readonly ServedDevice[] },
): DomainStatistics {
  const info = control.info();
  const { domid } = control;
  const mine = (all: readonly ServedDevice[]): readonly ServedDevice[] =>
    all.filter((device) => device.domid === domid).sort((a, b) => a.devid - b.devid);
  return {
    domid,
    name,
    running: info.running,
    blocked: info.blocked,
    paused: info.paused,
    shutdown: info.shutdown,
    dying: info.dying,
    shutdownReason: info.shutdownReason ?? 0,
    cpuTimeNs: info.cpuTimeNs,
    memKiB: info.totPages * PAGE_KIB,
    maxMemKiB: info.maxPages >= UNLIMITED ? null : info.maxPages * PAGE_KIB,
    vcpus: Array.from({ length: info.maxVcpuId + 1 }, (_, vcpu) => {
      const { online = false, cpuTimeNs = 0 } = control.vcpuInfo(vcpu) ?? {};
      return { online, cpuTimeNs };
    }),
    nics: mine(devices.nics).map(({ devid, statistics: { net } }) => ({ devid, ...net })),
    disks: mine(devices.disks).map(({ devid, statistics: { block } }) => ({ devid, ...block })),
  };
}
