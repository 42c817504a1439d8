/**
 * What a running domain has of memory and vCPUs, in place of what its configuration began with: libxl_retrieve_domain_configuration. `xl list -l` prints it, and a
 * domain that is restarted is made with it.
 */
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { domainPath } from './xenstore-tree.ts';

export interface CurrentMemory {
  readonly max_memkb?: number;
  readonly target_memkb?: number;
}

export function currentMemory(xs: Xenstore, domid: number): CurrentMemory {
  const path = `${domainPath(domid)}/memory`;
  const [most, target] = [xs.read(`${path}/static-max`), xs.read(`${path}/target`)];
  return {
    ...(most === undefined ? {} : { max_memkb: Number(most) }),
    ...(target === undefined ? {} : { target_memkb: Number(target) }),
  };
}

/** Of `most` vCPUs those that should be online; undefined while the domain is being made. */
export function currentVcpus(xs: Xenstore, domid: number, most: number): number[] | undefined {
  const path = `${domainPath(domid)}/cpu`;
  if (xs.read(`${path}/0/availability`) === undefined) return undefined;
  return Array.from({ length: most }, (_, vcpu) => vcpu).filter(
    (vcpu) => xs.read(`${path}/${vcpu}/availability`) === 'online',
  );
}

/** The configuration with both. */
export function currentConfig(xs: Xenstore, domid: number, config: DomainConfig): DomainConfig {
  const avail_vcpus = currentVcpus(xs, domid, Math.max(1, config.b_info.max_vcpus ?? 1));
  return {
    ...config,
    b_info: {
      ...config.b_info,
      ...currentMemory(xs, domid),
      ...(avail_vcpus === undefined ? {} : { avail_vcpus }),
    },
  };
}
