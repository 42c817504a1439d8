/** Which of a domain's vCPUs should be online: libxl_set_vcpuonline. The guest's kernel watches the nodes and plugs them (libxl_domain.c). */
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import { LibxlError, libxlLine } from './libxl-error.ts';
import { domainPath } from './xenstore-tree.ts';

/** The first `wanted` of `most`. */
export function setVcpusOnline(xs: Xenstore, domid: number, wanted: number, most: number): void {
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  if (wanted === 0) {
    throw new LibxlError('FAIL', [libxlLine('libxl_set_vcpuonline', `${prefix}Requested 0 VCPUs!: Success`)]);
  }
  if (wanted > most) {
    const text = `${prefix}Requested ${wanted} VCPUs, however maxcpus is ${most}!: Success`;
    throw new LibxlError('FAIL', [libxlLine('libxl_set_vcpuonline_most', text)]);
  }
  xs.transaction((t) => {
    for (let vcpu = 0; vcpu < most; vcpu++)
      t.write(`${domainPath(domid)}/cpu/${vcpu}/availability`, vcpu < wanted ? 'online' : 'offline');
  });
}
